package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// What is not in line is not touched through a ticket that is not (K06): two entries
// of one token, of which the lease is of the second.
func TestRemoveTouchesNoOther(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	held := mustRegister(t, q)
	_, rest, _ := strings.Cut(held.Member, ":")
	other := held
	other.Number--
	other.Member = fmt.Sprintf("%d:%s", other.Number, rest)
	wantNotQueued(t, q.Remove(t.Context(), other))
	wantNotQueued(t, q.Release(t.Context(), other))
	if err := q.Refresh(t.Context(), held); err != nil {
		t.Errorf("the other's lease is gone: %v", err)
	}
	mustRelease(t, q, held)
}

// repeated is a line of a holder, and a ticket whose request was sent twice, of which the
// first is still on its way.
type repeated struct {
	proxy           *redistest.Proxy
	near, far       *redisqueue.Queue
	first           queue.Ticket // of far
	deliver         func()
	wantHolderAlone func() // checks that all but the holder has left
	expire          func() // has the lease of first run out
}

func newRepeated(t *testing.T) repeated {
	t.Parallel()
	redistest.NeedReal(t)
	direct, name := redistest.Client(t), redistest.Name(t)
	warm(t, direct)
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	near := redisqueue.New(direct, name)
	far := redisqueue.New(redistest.ClientOf(t, proxy.Addr), name)
	holder := mustRegister(t, near)
	_, deliver := proxy.DivertRequest(redisqueue.RegisterHash)
	first := mustRegister(t, far)
	return repeated{proxy, near, far, first, deliver, func() {
		t.Helper()
		if list := members(t, near); len(list) != 1 {
			t.Errorf("the line is %v; want the holder alone", list)
		}
		mustRelease(t, near, holder)
		direct.Del(t.Context(), redistest.Keys(t, direct, name)...)
	}, func() { direct.Del(t.Context(), leaseKey(name, first)) }}
}

// What a request has taken that was overtaken by its own repetition leaves with the
// ticket (K06).
func TestReleaseOfARepeatedRequest(t *testing.T) {
	r := newRepeated(t)
	r.expire()
	r.deliver()
	if list := members(t, r.near); len(list) != 3 {
		t.Fatalf("the line is %v; want two entries of one token", list)
	}
	mustRelease(t, r.far, r.first)
	r.wantHolderAlone()
}

// A release that is not answered leaves it to the next to see to a registration that comes
// late.
func TestReleaseOfARepeatedRequestThatFailed(t *testing.T) {
	r := newRepeated(t)
	end := r.proxy.LoseRequests(redisqueue.ReleaseHash, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.far.Release(ctx, r.first); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Release without a server returned %v", err)
	}
	end()
	mustRelease(t, r.far, r.first)
	r.deliver()
	r.wantHolderAlone()
}

// One look makes up for a clock that was set back, however many died (K08), and for
// a lease without an end (K11).
func TestRepairOfMany(t *testing.T) {
	t.Parallel()
	client, name := redistest.Client(t), redistest.Name(t)
	const dead, lease = 2500, time.Minute
	pipe := client.Pipeline()
	for i := range dead {
		member := fmt.Sprintf("%d:dead.%d:1", i+1, i)
		pipe.ZAdd(t.Context(), "{"+name+"}:queue", redis.Z{Score: float64(i + 1), Member: member})
		left := time.Hour
		if i%2 == 0 {
			left = 0 // for ever
		}
		pipe.Set(t.Context(), "{"+name+"}:lease:dead."+fmt.Sprint(i), fmt.Sprintf("%s %d 0 1 host ", member, lease.Milliseconds()), left)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := redisqueue.New(client, name)
	waiter := mustRegister(t, q)
	wantAhead(t, q, waiter, dead)
	var lasts [dead]*redis.DurationCmd
	for i := range dead {
		lasts[i] = pipe.PTTL(t.Context(), fmt.Sprintf("{%s}:lease:dead.%d", name, i))
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, last := range lasts {
		if left := last.Val(); left <= 0 || left > lease {
			t.Fatalf("lease %d has %v to go", i, left)
		}
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

// A ticket keeps its own lease, whatever value it is refreshed through (K18).
func TestRefreshThroughAnotherValue(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	long := redisqueue.New(client, name, redisqueue.WithLease(time.Hour))
	short := redisqueue.New(client, name, redisqueue.WithLease(time.Minute))
	for _, ticket := range []queue.Ticket{mustRegister(t, long), mustRegister(t, short)} {
		bare := queue.Ticket{Number: ticket.Number, Member: ticket.Member}
		for _, q := range []*redisqueue.Queue{long, short} {
			if err := q.Refresh(t.Context(), bare); err != nil {
				t.Fatal(err)
			}
			left := client.PTTL(t.Context(), leaseKey(name, ticket)).Val()
			if left > ticket.Lease || left < ticket.Lease/2 {
				t.Errorf("a lease of %v has %v to go", ticket.Lease, left)
			}
		}
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

// A fraction of a millisecond is nothing that an owner may rely on.
func TestLeaseInMilliseconds(t *testing.T) {
	q := redisqueue.New(redistest.Client(t), redistest.Name(t), redisqueue.WithLease(10*time.Second+999*time.Microsecond))
	ticket := mustRegister(t, q)
	if ticket.Lease != 10*time.Second {
		t.Errorf("the lease is %v", ticket.Lease)
	}
	mustRelease(t, q, ticket)
}

// Foreign entries stay when the tickets' keys run out (K19).
func TestForeignEntriesStay(t *testing.T) {
	t.Parallel()
	client := redistest.Client(t)
	for what, score := range map[string]string{"in front": "-inf", "behind": "+inf"} {
		t.Run(what, func(t *testing.T) {
			name := redistest.Name(t)
			key := "{" + name + "}:queue"
			q := redisqueue.New(client, name, redisqueue.WithLease(time.Minute))
			mustRegister(t, q)
			client.Do(t.Context(), "ZADD", key, score, "foreign")
			mustRegister(t, q)
			if left := client.PTTL(t.Context(), key).Val(); left < 24*time.Hour {
				t.Errorf("the foreign entry goes with the tickets' keys, in %v", left)
			}
			client.Del(t.Context(), redistest.Keys(t, client, name)...)
		})
	}
}

// As many foreign entries with one score as a page has hide no ticket (K20).
func TestMembersBehindForeignEntries(t *testing.T) {
	t.Parallel()
	client, name := redistest.Client(t), redistest.Name(t)
	key := "{" + name + "}:queue"
	var foreign []redis.Z
	for i := range 450 {
		foreign = append(foreign, redis.Z{Score: 5, Member: fmt.Sprint("foreign", i)})
	}
	client.ZAdd(t.Context(), key, foreign...)
	q := redisqueue.New(client, name, redisqueue.WithLabel("über all"))
	tickets := registerAll(t, q, 300)
	list := members(t, q)
	if len(list) != len(tickets) {
		t.Fatalf("%d members listed of %d", len(list), len(tickets))
	}
	for i, m := range list {
		if m.Ticket.Member != tickets[i].Member || m.Label != "über all" || m.Ticket.Lease != 30*time.Second || m.PID == 0 {
			t.Fatalf("member %d is %+v", i, m)
		}
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

// A ticket that stays is listed, also when the last one of the page before it leaves between
// two pages.
func TestMembersWhileTheLastOfAPageLeaves(t *testing.T) {
	redistest.NeedReal(t)
	t.Parallel()
	client, name := redistest.Client(t), redistest.Name(t)
	hook := new(another)
	client.AddHook(hook)
	q := redisqueue.New(client, name)
	tickets := registerAll(t, q, 300)
	leave := func(answer any) any {
		if err := q.Remove(t.Context(), tickets[199]); err != nil {
			t.Error(err)
		}
		return answer
	}
	hook.answer.Store(&leave)
	list := members(t, q)
	if hook.answer.Load() != nil || len(list) != len(tickets) || list[200].Ticket.Member != tickets[200].Member {
		t.Errorf("%d of %d members listed, without the one behind the one that has left", len(list), len(tickets))
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

func TestHostileLabels(t *testing.T) {
	for _, label := range []string{"a\nb", "\x00", "\xff", strings.Repeat("x", 129)} {
		q := redisqueue.New(redistest.Client(t), redistest.Name(t), redisqueue.WithLabel(label))
		if _, err := q.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "WithLabel") {
			t.Errorf("label %q: %v", label, err)
		}
	}
}

// A seq that is ahead of the clock stays when the line is empty, on every way out, so
// that numbers ascend (K21).
func TestSeqAheadOfTheClock(t *testing.T) {
	t.Parallel()
	client, name := redistest.Client(t), redistest.Name(t)
	q, dying := redisqueue.New(client, name), redisqueue.New(client, name, redisqueue.WithLease(50*time.Millisecond))
	const ahead = 4e15
	client.Set(t.Context(), "{"+name+"}:seq", "4000000000000000", 0)
	last := int64(ahead)
	for what, c := range map[string]struct {
		q     *redisqueue.Queue
		leave func(queue.Ticket)
	}{
		"Release": {q, func(ticket queue.Ticket) { mustRelease(t, q, ticket) }},
		"MaybeCleanup": {q, func(ticket queue.Ticket) {
			if err := q.Remove(t.Context(), ticket); err != nil {
				t.Fatal(err)
			}
			q.MaybeCleanup(t.Context())
		}},
		"running out": {dying, func(queue.Ticket) {
			for client.Exists(t.Context(), "{"+name+"}:queue").Val() > 0 {
				time.Sleep(pause)
			}
		}},
	} {
		ticket := mustRegister(t, c.q)
		if ticket.Number <= last {
			t.Errorf("number %d after %d", ticket.Number, last)
		}
		last = ticket.Number
		c.leave(ticket)
		if left := client.PTTL(t.Context(), "{"+name+"}:seq").Val(); left < 24*time.Hour && left != -1 {
			t.Errorf("after %s seq has %v to go", what, left)
		}
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

// seq lasts until the clock has passed its number, on each way of taking one: each number
// that is taken is farther ahead.
func TestSeqAheadOfTheClockLasts(t *testing.T) {
	redistest.NeedReal(t) // registrations together
	t.Parallel()
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name, redisqueue.WithLease(time.Minute))
	detecting := redisqueue.New(client, name, redisqueue.WithLease(time.Minute), redisqueue.WithCrashDetection(time.Second))
	seq := "{" + name + "}:seq"
	mustRegister(t, q)
	const ahead = 10 * time.Hour
	for what, take := range map[string]func(){
		"behind":          func() { mustRegister(t, q) },
		"together":        func() { registerTogether(t, q, 3) },
		"the general way": func() { mustRegister(t, detecting) },
	} {
		client.Set(t.Context(), seq, client.Time(t.Context()).Val().Add(ahead).UnixMicro(), ahead-time.Second)
		take()
		if left := client.PTTL(t.Context(), seq).Val(); left < ahead {
			t.Errorf("%s: seq has %v to go, and its number is %v ahead of the clock", what, left, ahead)
		}
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}

// A queue through a client that was closed says so at once (K13), whatever is called.
func TestClosedClient(t *testing.T) {
	redistest.NeedReal(t)
	addr := redistest.Addr(t)
	for what, client := range map[string]redis.UniversalClient{
		"client":  redis.NewClient(&redis.Options{Addr: addr}),
		"cluster": redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}}),
		"ring":    redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": addr}}),
		"wrapped": struct{ redis.UniversalClient }{redis.NewClient(&redis.Options{Addr: addr})},
	} {
		t.Run(what, func(t *testing.T) {
			q := redisqueue.New(client, redistest.Name(t), redisqueue.WithLease(time.Hour))
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			for call, f := range calls(q, queue.Ticket{Number: 1, Member: "1:a.b:1"}) {
				if call == "Watch" {
					continue // does not ask
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a release is sent for longer, if it is to be
				err := f(ctx)
				if ctx.Err() != nil {
					t.Errorf("%s has asked again and again", call)
				}
				cancel()
				var wrapped *queue.Error
				if !errors.Is(err, queue.ErrClosed) || !errors.As(err, &wrapped) {
					t.Errorf("%s: %v; want ErrClosed in a queue.Error", call, err)
				}
			}
		})
	}
}

// A Ring whose addresses change closes the clients of the shards before, also under a call.
// That is not its end: the call is sent again, and waiters are told through the new ones.
func TestRingWhoseAddressesChange(t *testing.T) {
	testenv.Long(t) // its subscription ends some seconds after it
	redistest.NeedReal(t)
	addr, name := redistest.Addr(t), redistest.Name(t)
	another := redistest.NewProxy(t, addr).Addr // of the same server
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": addr}})
	defer ring.Close()
	changed := false
	_ = ring.ForEachShard(t.Context(), func(_ context.Context, shard *redis.Client) error {
		shard.AddHook(asked(func(cmd redis.Cmder) {
			if cmd.Name() == "evalsha" && !changed {
				changed = true
				ring.SetAddrs(map[string]string{"two": another})
			}
		}))
		return nil
	})
	q := redisqueue.New(ring, name)
	other := redisqueue.New(redistest.Client(t), name)
	holder := mustRegister(t, other)
	next := mustRegister(t, q)
	if !changed {
		t.Fatal("the addresses were not changed")
	}
	mustRelease(t, q, next)
	listening(t, q)
	next = mustRegister(t, q)
	wake, _ := watch(t, q, next)
	mustRelease(t, other, holder)
	wantOwner(t, q, next, wake)
	mustRelease(t, q, next)
}

// What was kept of the tickets for the shards before goes with them.
func TestRingWhoseAddressesChangeKeepsNothing(t *testing.T) {
	redistest.NeedReal(t)
	addr := redistest.Addr(t)
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": addr}})
	defer ring.Close()
	q := redisqueue.New(ring, redistest.Name(t))
	owner, waiting, watched := mustRegister(t, q), mustRegister(t, q), mustRegister(t, q)
	_, stop := watch(t, q, watched)
	before := redisqueue.Home(q)
	if n := before.Waiters(); n != 3 {
		t.Fatalf("%d waiters, want one for each ticket", n)
	}
	ring.SetAddrs(map[string]string{"two": redistest.NewProxy(t, addr).Addr}) // of the same server
	for _, ticket := range []queue.Ticket{owner, waiting, watched} {
		mustRelease(t, q, ticket)
	}
	stop()
	if redisqueue.Home(q) == before {
		t.Fatal("the shard has not changed")
	}
	if n := before.Waiters(); n > 0 {
		t.Errorf("%d waiters are kept for the shard before", n)
	}
}

// asked is a hook of a client: it is told of every command before it is sent.
type asked func(redis.Cmder)

func (asked) DialHook(next redis.DialHook) redis.DialHook { return next }

func (asked) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (told asked) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		told(cmd)
		return next(ctx, cmd)
	}
}

// A waiter that only listens is woken when its client is closed (K13).
func TestClosedClientWakes(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: redistest.Addr(t)})
	name := redistest.Name(t)
	q := redisqueue.New(client, name)
	held := mustRegister(t, q)
	listening(t, q)
	waiter := mustRegister(t, q)
	wake, _ := watch(t, q, waiter)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for {
		<-wake
		if _, err := q.Position(t.Context(), waiter); errors.Is(err, queue.ErrClosed) {
			break
		}
	}
	other := redistest.Client(t)
	mustRelease(t, redisqueue.New(other, name), held)
	other.Del(t.Context(), redistest.Keys(t, other, name)...)
}

// A client without a connection to spare is waited for (K17).
func TestExhaustedPool(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	client := redistest.Client(t, func(o *redis.Options) {
		o.PoolSize, o.MaxActiveConns, o.PoolTimeout = 4, 1, 10*time.Millisecond
	})
	q := redisqueue.New(client, redistest.Name(t))
	done := make(chan error)
	for range 20 {
		go func() {
			ticket, err := q.Register(t.Context())
			if err == nil {
				err = q.Release(t.Context(), ticket)
			}
			done <- err
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// An AutoPipeliner of go-redis's works as the client does (K09).
func TestAutoPipeliner(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	pipeliner, err := client.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	defer pipeliner.Close()
	name := redistest.Name(t)
	_, err = redisqueue.New(pipeliner, name, redisqueue.WithCrashDetection(time.Second)).Register(t.Context())
	if err == nil || !strings.Contains(err.Error(), "AutoPipeliner") {
		t.Errorf("with crash detection Register returned %v", err)
	}
	q := redisqueue.New(pipeliner, name)
	held, next := mustRegister(t, q), mustRegister(t, q)
	wake, _ := watch(t, q, next)
	wantWake(t, wake, queue.WakeHint)
	mustRelease(t, q, held)
	wantWake(t, wake, queue.WakeOwner)
	wantNotQueued(t, q.Release(t.Context(), held))
	mustRelease(t, q, next)
	if keys := redistest.Keys(t, client, name); len(keys) != 0 {
		t.Errorf("%q are left", keys)
	}
}

// A wrapper that hides what its client is does not make us panic (K12).
func TestWrappedClients(t *testing.T) {
	testenv.Long(t) // its subscription ends some seconds after it
	redistest.NeedReal(t)
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": redistest.Addr(t)}})
	defer ring.Close()
	q := redisqueue.New(struct{ redis.UniversalClient }{ring}, redistest.Name(t))
	held, next := mustRegister(t, q), mustRegister(t, q)
	wake, stop := watch(t, q, next)
	wantWake(t, wake, queue.WakeHint)
	mustRelease(t, q, held)
	wantWake(t, wake, queue.WakeOwner)
	stop()
	mustRelease(t, q, next)
}

// What a client of something else than a Redis server in the clear meets is
// explained (K23).
func TestAdvice(t *testing.T) {
	t.Parallel()
	renamed := redistest.StartServer(t, "--rename-command", "EVALSHA", "")
	if _, err := redisqueue.New(renamed.Client(), "x").Register(t.Context()); err == nil || !strings.Contains(err.Error(), "Sentinel") {
		t.Errorf("no scripts: %v", err)
	}
}

// Taking back a registration that the server has not heard of removes nothing, not even
// the foreign entry that has no name.
func TestAbandonRemovesNothingForeign(t *testing.T) {
	redistest.NeedReal(t)
	direct, name := redistest.Client(t), redistest.Name(t)
	warm(t, direct)
	key := "{" + name + "}:queue"
	direct.ZAdd(t.Context(), key, redis.Z{Score: 1, Member: ""})
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	q := redisqueue.New(redistest.ClientOf(t, proxy.Addr, retries(-1)), name)
	proxy.LoseRequests(redisqueue.RegisterHash, 1)
	if ticket, err := q.Register(t.Context()); err == nil {
		t.Errorf("got ticket %+v without an answer", ticket)
	}
	if n := direct.ZCard(t.Context(), key).Val(); n != 1 {
		t.Errorf("%d entries; want the foreign one", n)
	}
	direct.Del(t.Context(), redistest.Keys(t, direct, name)...)
}
