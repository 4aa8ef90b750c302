package mutants

var ofLock = list{tests{"-skip Redis|File|Fuzz|Vet|Example ./lock"}, []Mutant{
	{
		name: "lock: no check of the lease after a wait",
		in:   "lock heartbeat.own",
		old:  "if h.ticket.Lease > 0 && !time.Now().Before(h.until) {",
		new:  "if false {",
	},
	{
		name: "lock: a ticket that the queue has given up becomes a hold",
		in:   "lock heartbeat.own",
		old:  "case <-h.ticket.Lost:",
		new:  "case <-make(chan struct{}):",
	},
	{
		name: "lock: f of Do does not hear of an Unlock too many",
		in:   "lock claim.do",
		old:  "case <-c.ended:",
		new:  "case <-make(chan struct{}):",
	},
	{
		name: "lock: the end of the release's time counts as that of a wait",
		in:   "lock claim.removeAndWait",
		old:  "err = ofQueue(err)",
		new:  "",
	},
	{
		name: "lock: a timeout of the queue's in a heartbeat counts as the end of a wait",
		in:   "lock heartbeat.beat",
		old:  "ofQueue(queue.Refresh(h.ctx, h.base.queue, h.ticket))",
		new:  "queue.Refresh(h.ctx, h.base.queue, h.ticket)",
	},
	{
		name: "lock: a timeout of the queue's counts as the end of the caller's ctx",
		in:   "lock report.explain",
		old:  "return ofQueue(err)",
		new:  "return err",
	},
	{
		name: "lock: a failed look that was cut off is another end of the ctx",
		in:   "lock report.explain",
		old:  "failure: ofQueue(r.failure)",
		new:  "failure: r.failure",
	},
	{
		name: "lock: a deadline that the queue sees before the ctx is the queue's own",
		in:   "lock endOf",
		old:  "!time.Now().Before(deadline)",
		new:  "deadline.IsZero()",
	},
	{
		name: "lock: a failed look counts after the ticket was found gone",
		in:   "lock attempt.gone",
		old:  "a.failure, a.asked = c.alive.whyLost(), time.Time{}",
		new:  "",
	},
	{
		name: "lock: a wait that ends after its ticket owned counts as busy",
		in:   "lock waiter.turn",
		old:  "w.seen.ahead = 0",
		new:  "",
	},
	{
		name: "lock: every wake-up is taken for a grant",
		in:   "lock waiter.wait",
		old:  "if wake == queue.WakeOwner {",
		new:  "if _ = wake; true {",
	},
	{
		name: "lock: a hint that comes while it looks is dropped",
		in:   "lock waiter.hint",
		old:  "case w.look != nil: w.hinted = true",
		new:  "case w.look != nil:",
	},
	{
		name: "lock: a hint while looks fail is a busy loop",
		in:   "lock waiter.hint",
		old:  "case w.since.IsZero():",
		new:  "case true:",
	},
	{
		name: "lock: a hint to a look that fails is a busy loop",
		in:   "lock waiter.looked",
		old:  "case err == nil:",
		new:  "case true:",
	},
	{
		name: "lock: a hint while an owner looks in vain is a busy loop",
		in:   "lock claim.standGuard",
		old:  "if again != nil {",
		new:  "if false {",
	},
	{
		name: "lock: hints while an owner looks in vain put the next look off",
		in:   "lock claim.standGuard",
		old:  "if !hinted {",
		new:  "if !hinted || true {",
	},
	{
		name: "lock: hints while looks fail put the next look off",
		in:   "lock waiter.hint",
		old:  "case !w.hinted:",
		new:  "default:",
	},
	{
		name: "lock: the heartbeat outlives Unlock",
		in:   "lock heartbeat.stop",
		old:  "h.stopped = true h.halt()",
		new:  "",
	},
	{
		name: "lock: one failed heartbeat is a loss",
		in:   "lock heartbeat.end",
		old:  "case errors.Is(err, queue.ErrNotQueued), errors.Is(err, queue.ErrClosed) && !h.owner: h.lose(err)",
		new: `case err != nil:
			h.lose(err)`,
	},
	{
		name: "lock: a hanging heartbeat holds up the next",
		in:   "lock beatsUnderWay",
		old:  "beatsUnderWay = 4",
		new:  "beatsUnderWay = 1",
	},
	{
		name: "lock: the lease counts from the answer",
		in:   "lock heartbeat.end",
		old:  "h.renew(sent)",
		new:  "h.renew(time.Now())",
	},
	{
		name: "lock: an older heartbeat's answer shortens the lease",
		in:   "lock heartbeat.renew",
		old:  "until := h.believedUntil(sent); until.After(h.until)",
		new:  "until := h.believedUntil(sent); true",
	},
	{
		name: "lock: the whole lease is relied upon",
		in:   "lock heartbeat.believedUntil",
		old:  "h.ticket.Lease - h.ticket.Lease/marginPerLease",
		new:  "h.ticket.Lease",
	},
	{
		name: "lock: no local deadline",
		in:   "lock heartbeat.expire",
		old:  "if h.over() || time.Now().Before(h.until) { // renewed while this timer fired",
		new:  "if true {",
	},
	{
		name: "lock: a waiter is not kept alive",
		in:   "lock heartbeat.begin",
		old:  "h.next.Reset(h.interval()) if h.beats",
		new: `if h.next.Reset(h.interval()); !h.owner {
			return false
			}
			if h.beats`,
	},
	{
		name: "lock: a ticket without a lease is checked too seldom",
		in:   "lock checkInterval",
		old:  "checkInterval = 10 * time.Second",
		new:  "checkInterval = 100 * time.Second",
	},
	{
		name: "lock: a cancelled waiter leaves its ticket",
		in:   "lock attempt.quit",
		old:  "left := c.removeLater()",
		new:  "left := start(func() (struct{}, error) { return struct{}{}, nil }, nil)",
	},
	{
		name: "lock: a hook that panics leaves a ticket",
		in:   "lock attempt.await",
		old:  "if !owned {",
		new:  "if owned {",
	},
	{
		name: "lock: a late ticket is dropped",
		in:   "lock base.giveBack",
		old:  "_ = queue.Release(ctx, b.queue, t)",
		new:  "_ = ctx",
	},
	{
		name: "lock: a lost hold keeps its ticket",
		in:   "lock claim.release",
		old:  "c.removeLater().settle(leaveGrace)",
		new:  "_ = leaveGrace",
	},
	{
		name: "lock: Unlock waits for a heartbeat that hangs",
		in:   "lock claim.remove",
		new: `for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			c.alive.mu.Lock()
			beats := c.alive.beats
			c.alive.mu.Unlock()
			if beats == 0 {
			break
			}
			}
`,
	},
	{
		name: "lock: the end of ctx is noticed only when the backend answers",
		in:   "lock ask",
		old:  "if ctx.Done() == nil {",
		new:  "if true {",
	},
	{
		name: "lock: a ctx that has ended takes a free lock",
		in:   "lock attempt.impossible",
		old:  "return ctx.Err()",
		new:  "return nil",
	},
	{
		name: "lock: a local goroutine does not wait for the Unlock of the loser",
		in:   "lock Mutex.adopt",
		old:  "if m.hold == nil {",
		new:  "if true {",
	},
	{
		name: "lock: a waiter for the loser stays in line",
		in:   "lock Mutex.takeTurn",
		old:  "c.abandon()",
		new:  "",
	},
	{
		name: "lock: an evicted waiter gives up",
		in:   "lock attempt.acquire",
		old:  "if !errors.Is(err, queue.ErrNotQueued) {",
		new:  "if true {",
	},
	{
		name: "lock: a lost lock is unlocked without a word",
		in:   "lock claim.removeAndWait",
		old:  `case errors.Is(err, queue.ErrNotQueued): return fmt.Errorf("%w: %w", ErrLost, err)`,
		new: `case errors.Is(err, queue.ErrNotQueued):
			return nil`,
	},
	{
		name: "lock: TryLock stands in line",
		in:   "lock tryRegister",
		old:  "return queue.TryRegister(ctx, b.queue)",
		new: `t, err := b.queue.Register(ctx)
			return t, err == nil, err`,
	},
	{
		name: "lock: a ticket that nothing keeps alive is held",
		in:   "lock newClaim",
		old:  "t.Lease > 0 && !ok",
		new:  "false && !ok",
	},
	{
		name: "lock: a ticket that nothing keeps alive stays in line",
		in:   "lock newClaim",
		old:  "b.giveBack(t)",
		new:  "",
	},
	{
		name: "lock: a closed queue is waited for",
		in:   "lock waiter.failed",
		old:  "errors.Is(err, queue.ErrClosed)",
		new:  "false",
	},
	{
		name: "lock: the backoff does not start anew when the line moves",
		in:   "lock waiter.moved",
		old:  "w.interval.reset()",
		new:  "",
	},
	{
		name: "lock: the first in line backs off like everybody else",
		in:   "lock pollInterval.next",
		old:  "return min(d, places(place.Ahead)*nextToOwn)",
		new:  "return d",
	},
	{
		name: "lock: the first in line does not look when the owner may have died",
		in:   "lock pollInterval.next",
		old:  "max(min(place.Recheck, missed), firstPoll)",
		new:  "missed",
	},
	{
		name: "lock: a wake-up that was lost is waited for",
		in:   "lock missed",
		old:  "missed = time.Second",
		new:  "missed = time.Hour",
	},
	{
		name: "lock: the backoff ends the wait",
		in:   "lock pollInterval.step",
		old:  "if d == backoff.Stop {",
		new: `if d == backoff.Stop {
			return time.Hour * 10
			}
			if d == backoff.Stop {`,
	},
	{
		name: "lock: waiters that will be woken poll all the same",
		in:   "lock pollInterval.next",
		old:  "seldom := min(places(place.Ahead)*missedPerPlace, place.Recheck)",
		new:  "seldom := nextToOwn",
	},
	{
		name: "lock: one behind many dead looks once for each of them",
		in:   "lock pollInterval.next",
		old:  "min(limit, max(seldom, places(place.Ahead)*nextToOwn))",
		new:  "max(0*limit, seldom, places(place.Ahead)*missedPerPlace)",
	},
	{
		name: "lock: a grant is never taken back",
		in:   "lock claim.own",
		old:  "if c.watch.granted {",
		new:  "if c.watch.granted && false {",
	},
	{
		name: "lock: a late grant hides that one was taken back",
		in:   "lock claim.standGuard",
		old:  "case <-c.watch.wake:",
		new:  "case wake := <-c.watch.wake:\n\t\t\tif wake == queue.WakeOwner {\n\t\t\t\tcontinue\n\t\t\t}",
	},
	{
		name: "lock: a grant that is taken back is believed when the look fails",
		in:   "lock claim.confirm",
		old:  "return errors.Is(err, queue.ErrClosed)",
		new:  "return true",
	},
	{
		name: "lock: a hint ends a hold",
		in:   "lock claim.confirm",
		old:  "case place.Ahead > 0:",
		new:  "case place.Ahead >= 0:",
	},
	{
		name: "lock: a grant that was taken back stays in line",
		in:   "lock claim.confirm",
		old:  "c.base.giveBack(c.ticket)",
		new:  "",
	},
	{
		name: "lock: the watch of a hold is never ended",
		in:   "lock claim.remove",
		old:  "defer c.watch.end()",
		new:  "",
	},
	{
		name: "lock: one claim is given up twice",
		in:   "lock claim.giveUp",
		old:  "c.given.Do(func() { close(c.ended) first = true })",
		new:  "first = true; c.given.Do(func() { close(c.ended) })",
	},
	{
		name: "lock: a release is not told before anything else can own",
		in:   "lock claim.release",
		old:  "c.tellReleased() err := c.removeAndWait()",
		new: `err := c.removeAndWait()
		c.tellReleased()`,
	},
	{
		name: "lock: a release that was not confirmed is not told",
		in:   "lock claim.release",
		old:  "hook != nil",
		new:  "hook != nil && false",
	},
	{
		name: "lock: a call that fails is not told",
		in:   "lock attempt.run",
		old:  "a.failed(a.ticket, err)",
		new:  "",
	},
	{
		name: "lock: a ticket that is replaced is not told",
		in:   "lock attempt.replaced",
		old:  "a.failed(t, a.base.fail",
		new:  "_, _ = t, (a.base.fail",
	},
	{
		name: "lock: a ticket is told as failed twice",
		in:   "lock attempt.replaced",
		old:  "a.ticket, a.lease, a.ended = queue.Ticket{}, t.Lease, time.Time{}",
		new:  "a.lease, a.ended = t.Lease, time.Time{}",
	},
	{
		name: "lock: a call that has given up its ticket does not register through an outage",
		in:   "lock attempt.replaced",
		old:  "a.ticket, a.lease, a.ended = queue.Ticket{}, t.Lease, time.Time{}",
		new:  "a.ticket, a.ended = queue.Ticket{}, time.Time{}",
	},
	{
		name: "lock: only the last trace is called",
		in:   "lock WithTrace",
		old:  "o.trace.add(*t)",
		new:  "o.trace = *t",
	},
	{
		name: "lock: a server that is away is busy",
		in:   "lock report.silent",
		old:  "r.holders == nil &&",
		new:  "false &&",
	},
	{
		name: "lock: a server that refuses is busy",
		in:   "lock report.readHolders",
		old:  "r.failure = err",
		new:  "",
	},
	{
		name: "lock: busy is not told",
		in:   "lock waitError.Is",
		old:  "e.busy && target == ErrBusy",
		new:  "false",
	},
	{
		name: "lock: WithMaxWait bounds the work",
		in:   "lock Mutex.Do",
		old:  "return hold.do(ctx, f)",
		new: `if d := m.base.options.maxWait; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
		}
		return hold.do(ctx, f)`,
	},
	{
		name: "lock: WithMaxWait is not obeyed",
		in:   "lock attempt.run",
		old:  "if maxWait > 0 {",
		new:  "if maxWait > 0 && false {",
	},
	{
		name: "lock: a Semaphore takes the queue as it is",
		in:   "lock NewSemaphore",
		old:  "s.base.queue, s.base.err = queue.Share(q, n)",
		new:  "_, s.base.err = queue.Share(q, n)",
	},
	{
		name: "lock: a Semaphore of none waits for ever",
		in:   "lock NewSemaphore",
		old:  "case n < 1:",
		new:  "case n < 1 && false:",
	},
	{
		name: "lock: Do of a Mutex unlocks whatever hold there is",
		in:   "lock Mutex.Do",
		old:  "m.unlock(hold)",
		new:  "m.unlock(nil)",
	},
	{
		name: "lock: every error lists the line",
		in:   "lock report.readHolders",
		old:  "select { case reading <- struct{}{}: default: return }",
		new:  "reading <- struct{}{}",
	},
	{
		name: "lock: a call that has ended its goroutine has answered",
		in:   "lock start",
		old:  "done: make(chan struct{}), err: errNoAnswer",
		new:  "done: make(chan struct{})",
	},
	{
		name: "lock: Lock waits for the end of a watch",
		in:   "lock claim.own",
		old:  "background(stop).settle(leaveGrace)",
		new:  "stop()",
	},
	{
		name: "lock: a refused Lock waits until its ticket is gone",
		in:   "lock newClaim",
		old:  "background(func() { b.giveBack(t) }).settle(leaveGrace)",
		new:  "b.giveBack(t)",
	},
	{
		name: "lock: a hold that the queue has given up stays in line",
		in:   "lock heartbeat.follow",
		old:  "h.presumeLost(errGivenUp)",
		new:  "h.lose(errGivenUp)",
	},
	{
		name: "lock: a hold whose heartbeats are not answered stays in line",
		in:   "lock heartbeat.expire",
		old:  "h.presumeLost(h.ranOut())",
		new:  "h.lose(h.ranOut())",
	},
	{
		name: "lock: an error tells what an earlier ticket has seen",
		in:   "lock attempt.register",
		old:  "a.stage, a.ahead, a.failure, a.asked = registering, 0, nil, time.Time{}",
		new:  "",
	},
	{
		name: "lock: between two tickets a call has seen nothing",
		in:   "lock attempt.replaced",
		old:  "a.failed(t, a.base.fail(\"wait\", err))",
		new:  "a.failed(t, a.base.fail(\"wait\", err)); a.stage = registering",
	},
	{
		name: "lock: busy, though the ticket was lost because the queue does not answer",
		in:   "lock attempt.gone",
		old:  "c.alive.whyLost(), time.Time{}",
		new:  "nil, time.Time{}",
	},
	{
		name: "lock: a call that is held back tells of an outage before it",
		in:   "lock attempt.holdBack",
		old:  "a.stage, a.failure = heldBack, nil",
		new:  "a.stage = heldBack",
	},
	{
		name: "lock: a waiter that was not answered is told that it is not in line",
		in:   "lock heartbeat.outOfLine",
		old:  "return fmt.Errorf(\"%w: %w\", queue.ErrNotQueued, reason)",
		new:  "return queue.ErrNotQueued",
	},
	{
		name: "lock: a view that is nil is shared",
		in:   "queue Share",
		old:  "if view := q.Share(n); view != nil {",
		new:  "if view := q.Share(n); true {",
	},
	{
		name: "lock: a loss is told before the hold",
		in:   "lock heartbeat.lose",
		old:  "if h.told {",
		new:  "if h.owner {",
	},
	{
		name: "lock: the error of another lock is a verdict on this one",
		in:   "lock ofCause",
		old:  "&maskedError{err, ofContract}",
		new:  "&maskedError{err, nil}",
	},
	{
		name: "lock: a queue that answers slowly is taken for one that does not",
		in:   "lock report.silent",
		old:  "max(leaveGrace, min(2*r.took, time.Second))",
		new:  "leaveGrace",
	},
	{
		name: "lock: a turn is taken that has come after the end of ctx",
		in:   "lock attempt.await",
		old:  "if err := a.ctx.Err(); err != nil {",
		new:  "if err := a.ctx.Err(); false {",
	},
	{
		name: "lock: a queue whose Watch hangs is busy",
		in:   "lock wait",
		old:  "seen.asked = time.Now()",
		new:  "",
	},
	{
		name: "lock: a Locker that cannot lock goes on",
		in:   "lock locker.Lock",
		old:  "panic(err)",
		new:  "_ = err",
	},
	{
		name: "lock: a waiter is not told of its place",
		in:   "lock waiter.moved",
		old:  "hook(w.claim.ticket, ahead)",
		new:  "_ = hook",
	},
	{
		name: "lock: a call that owns is told that it has not waited",
		in:   "lock attempt.acquired",
		old:  "hook(c.ticket, c.since.Sub(a.began))",
		new:  "hook(c.ticket, 0)",
	},
	{
		name: "lock: the ctx of Do goes on after its function",
		in:   "lock claim.do",
		old:  "defer cancel(nil)",
		new:  "",
	},
	{
		name: "lock: a removal in the background goes on without end",
		in:   "lock claim.removeLater",
		old:  "c.base.forRelease()",
		new:  "context.WithCancel(c.base.background)",
	},
	{
		name: "lock: a ticket that came too late is given back without end",
		in:   "lock base.giveBack",
		old:  "b.forRelease()",
		new:  "context.WithCancel(b.background)",
	},
	{
		name: "lock: an Unlock too many of another lock is a verdict on this one",
		in:   "lock ofContract",
		old:  "ErrNotLocked, queue.ErrNotQueued",
		new:  "queue.ErrNotQueued",
	},
	{
		name:  "lock: a try that has stepped back keeps its ticket when its ctx has ended",
		in:    "queue TryRegister",
		old:   "context.WithoutCancel(ctx)",
		new:   "ctx",
		tests: tests{"./queue"},
	},
	{
		name: "lock: a lease that is too short is tried for ever",
		in:   "lock attempt.acquire",
		old:  "if unheard == mostUnheard {",
		new:  "if false {",
	},
	{
		name: "lock: one lease that ran out is too short",
		in:   "lock attempt.acquire",
		old:  "if unheard == mostUnheard {",
		new:  "if unheard > 0 {",
	},
	{
		name: "lock: a waiter that is evicted thrice is turned away",
		in:   "lock attempt.acquire",
		old:  "if !c.alive.isUnheard() {",
		new:  "if false {",
	},
	{
		name: "lock: a lease whose heartbeats are answered is too short",
		in:   "lock heartbeat.isUnheard",
		old:  "&& !h.heard",
		new:  "",
	},
	{
		name: "lock: a try whose lease ran out says that the lock is taken",
		in:   "lock attempt.tryAcquire",
		old:  "&& a.failure != nil:",
		new:  "&& false:",
	},
}}
