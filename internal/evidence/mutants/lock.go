package mutants

var ofLock = list{tests{"./lock"}, []Mutant{
	{
		name: "lock: no check of the lease after a wait",
		in:   "lock heartbeat.own",
		old:  "if h.lease > 0 && !time.Now().Before(h.until) {",
		new:  "if false {",
	},
	{
		name: "lock: every wake-up is taken for a grant",
		in:   "lock Mutex.waitForHead",
		old:  "case hint := <-wake: if hint == queue.WakeOwner {",
		new: `case hint := <-wake:
			if _ = hint; true {`,
	},
	{
		name: "lock: every wake-up is taken for a grant while it looks",
		in:   "lock watcher.ask",
		old:  "case hint := <-w.wake: if hint == queue.WakeOwner {",
		new: `case hint := <-w.wake:
			if _ = hint; true {`,
	},
	{
		name: "lock: a hint that comes while it looks is dropped",
		in:   "lock watcher.ask",
		old:  "w.hinted = true",
		new:  "",
	},
	{
		name: "lock: the heartbeat outlives Unlock",
		in:   "lock heartbeat.stop",
		old:  "h.stopped = true h.halt()",
		new:  "",
	},
	{
		name: "lock: Unlock does not await the heartbeat under way",
		in:   "lock Mutex.drop",
		old:  "h.settle(m.options.releaseTimeout / 2)",
		new:  "",
	},
	{
		name: "lock: one failed heartbeat is a loss",
		in:   "lock heartbeat.end",
		old:  "case errors.Is(err, queue.ErrNotQueued): h.lose(err)",
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
		new:  "h.renew(time.Now().Add(h.lease))",
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
			return nil, false
			}
			if h.beats`,
	},
	{
		name: "lock: a cancelled waiter leaves its ticket",
		in:   "lock Mutex.await",
		old:  "defer func() { // deferred, because a hook may panic if !owned {",
		new: `defer func() {
			if !owned && ctx.Err() == nil {`,
	},
	{
		name: "lock: a late ticket is dropped",
		in:   "lock Mutex.giveBack",
		old:  "_ = queue.Release(ctx, m.queue, t) // nobody is there to be told",
		new:  "_ = ctx",
	},
	{
		name: "lock: the end of ctx is noticed only when the backend answers",
		in:   "lock detached",
		old:  "if ctx.Done() == nil {",
		new:  "if true {",
	},
	{
		name: "lock: a ctx that has ended takes a free lock",
		in:   "lock Mutex.usable",
		old:  "return ctx.Err() }",
		new: `return nil
			}`,
	},
	{
		name: "lock: a local goroutine does not wait for the Unlock of the loser",
		in:   "lock Mutex.own",
		old:  "if m.hold != nil { defer",
		new: `if false {
			defer`,
	},
	{
		name: "lock: an evicted waiter gives up",
		in:   "lock Mutex.lock",
		old:  "if !errors.Is(err, queue.ErrNotQueued) {",
		new:  "if true {",
	},
	{
		name: "lock: a lost lock is unlocked without a word",
		in:   "lock Mutex.release",
		old:  `case errors.Is(err, queue.ErrNotQueued): return fmt.Errorf("%w: %w", ErrLost, err)`,
		new: `case errors.Is(err, queue.ErrNotQueued):
			return nil`,
	},
	{
		name: "lock: TryLock stands in line",
		in:   "lock Mutex.tryRegister",
		old:  "t, ok, err := queue.TryRegister(ctx, m.queue)",
		new: `t, err := m.queue.Register(ctx)
			ok := err == nil`,
	},
	{
		name: "lock: the backoff does not start anew when the line moves",
		in:   "lock watcher.look",
		old:  "w.pacer.reset()",
		new:  "",
	},
	{
		name: "lock: the first in line backs off like everybody else",
		in:   "lock pacer.next",
		old:  "return min(d, places(ahead)*firstLine)",
		new:  "return d",
	},
	{
		name: "lock: the backoff ends the wait",
		in:   "lock pacer.next",
		old:  "if d == backoff.Stop {",
		new: `if d == backoff.Stop {
			return time.Hour * 10
			}
			if d == backoff.Stop {`,
	},
	{
		name: "lock: waiters who will be woken poll all the same",
		in:   "lock pacer.next",
		old:  "return max(min(d, p.longest), far-rand.N(far/4)) // not all of a burst at once",
		new:  "return min(firstLine, far+rand.N(far))",
	},
	{
		name: "lock: two Unlocks release one hold",
		in:   "lock Mutex.end",
		old:  "m.hold = nil close(h.ended)",
		new: `defer func() { m.hold = nil }()
			m.mu.Unlock()
			m.mu.Lock()`,
	},
	{
		name: "lock: one behind many dead looks once for each of them",
		in:   "lock pacer.next",
		old:  "far := min(p.longest, places",
		new:  "far := max(0, places",
	},
}}
