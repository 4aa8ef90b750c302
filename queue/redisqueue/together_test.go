package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// together is a line that is used through a proxy, and looked at without it.
type together struct {
	*testing.T
	proxy        *redistest.Proxy
	direct       *redis.Client
	name         string
	far, near    *redisqueue.Queue
	holder       queue.Ticket
	registration []*registration
}

// registration is a call of Register.
type registration struct {
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	ticket queue.Ticket
	err    error
}

func newTogether(t *testing.T, change ...func(*redis.Options)) *together {
	redistest.NeedReal(t)
	l := &together{T: t, direct: redistest.Client(t), name: redistest.Name(t)}
	warm(t, l.direct)
	l.warmTogether()
	l.proxy = redistest.NewProxy(t, redistest.Addr(t))
	l.far = redisqueue.New(redistest.ClientOf(t, l.proxy.Addr, change...), l.name)
	l.near = redisqueue.New(l.direct, l.name)
	l.holder = mustRegister(t, l.far)
	t.Cleanup(func() {
		l.direct.Del(context.WithoutCancel(t.Context()), redistest.Keys(t, l.direct, l.name)...)
	})
	return l
}

// warmTogether makes the server know the scripts for several.
func (l *together) warmTogether() {
	l.Helper()
	q := redisqueue.New(l.direct, redistest.Name(l.T))
	first := mustRegister(l.T, q)
	tickets := append([]queue.Ticket{first}, registerTogether(l.T, q, 3)...)
	for _, err := range releaseTogether(l.T, q, tickets) {
		if err != nil {
			l.Fatal(err)
		}
	}
}

// gather calls f so often, in order, each when the one before waits with the others. They
// leave together when dispatch is called.
func gather(q *redisqueue.Queue, n int, f func(i int)) (dispatch func()) {
	g := redisqueue.Gather(q)
	for i := range n {
		go f(i)
		for g.Waiting() <= i {
			time.Sleep(pause / 10)
		}
	}
	return g.Depart
}

// begin begins registrations that leave together, when dispatch is called.
func (l *together) begin(n int) (dispatch func()) {
	l.Helper()
	for range n {
		r := &registration{done: make(chan struct{})}
		r.ctx, r.cancel = context.WithCancel(l.Context())
		l.Cleanup(r.cancel)
		l.registration = append(l.registration, r)
	}
	return gather(l.far, n, func(i int) {
		r := l.registration[i]
		defer close(r.done)
		r.ticket, r.err = l.far.Register(r.ctx)
	})
}

func (l *together) wait() {
	for _, r := range l.registration {
		<-r.done
	}
}

// awaitInLine waits for the calls, and checks that their tickets are in line, in their
// order.
func (l *together) awaitInLine() {
	l.Helper()
	l.wait()
	want := []string{l.holder.Member}
	for i, r := range l.registration {
		if r.err != nil || r.ticket.Ahead != i+1 {
			l.Fatalf("Register %d = %+v, %v", i, r.ticket, r.err)
		}
		want = append(want, r.ticket.Member)
	}
	l.wantLine(want)
}

func (l *together) wantLine(want []string) {
	l.Helper()
	var got []string
	for _, m := range members(l.T, l.near) {
		if m.Dead {
			l.Errorf("%s is dead", m.Ticket.Member)
		}
		got = append(got, m.Ticket.Member)
	}
	if !slices.Equal(got, want) {
		l.Fatalf("the line is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// registerTogether registers n tickets with calls that leave together.
func registerTogether(t *testing.T, q *redisqueue.Queue, n int) []queue.Ticket {
	t.Helper()
	tickets, errs := make([]queue.Ticket, n), make(chan error)
	gather(q, n, func(i int) {
		var err error
		tickets[i], err = q.Register(t.Context())
		errs <- err
	})()
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	return tickets
}

// releaseTogether releases all of these but the last together, from the first, which owns. It
// returns how each went.
func releaseTogether(t *testing.T, q *redisqueue.Queue, tickets []queue.Ticket) []error {
	t.Helper()
	for _, ticket := range tickets[1:] {
		watch(t, q, ticket)
	}
	errs := make([]error, len(tickets)-1)
	done := make(chan struct{})
	gather(q, len(errs), func(i int) {
		errs[i] = queue.Release(t.Context(), q, tickets[i])
		done <- struct{}{}
	})()
	for range errs {
		<-done
	}
	return errs
}

// callsOf returns how many scripts a server was sent by their hashes.
func callsOf(t *testing.T, client *redis.Client) int64 {
	t.Helper()
	var n int64
	for _, line := range strings.Split(client.Info(t.Context(), "commandstats").Val(), "\r\n") {
		if rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:calls="); ok {
			fmt.Sscan(strings.SplitN(rest, ",", 2)[0], &n)
		}
	}
	return n
}

// Requests that leave together are one call, with the answers that each would have had
// alone: the order of the calls is that of the tickets.
func TestTogether(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client()
	q := redisqueue.New(client, "together")
	for round := range 2 { // with the source of the scripts, and by their hashes
		tickets := append([]queue.Ticket{mustRegister(t, q)}, registerTogether(t, q, 5)...)
		before := callsOf(t, client)
		tickets = append(tickets, registerTogether(t, q, 5)...)
		if calls := callsOf(t, client) - before; calls != 1 {
			t.Errorf("%d calls for the second five", calls)
		}
		list := members(t, q)
		for i, ticket := range tickets {
			if ticket.Ahead != i || list[i].Ticket.Member != ticket.Member || list[i].Ticket.Lease != ticket.Lease {
				t.Errorf("ticket %d is %+v; in line is %+v", i, ticket, list[i])
			}
		}
		last := tickets[len(tickets)-1]
		before = callsOf(t, client)
		for i, err := range releaseTogether(t, q, tickets) {
			if err != nil {
				t.Errorf("release %d: %v", i, err)
			}
		}
		if calls := callsOf(t, client) - before; round > 0 && calls != 1 {
			t.Errorf("%d calls for the releases", calls)
		}
		wantHead(t, q, last)
		mustRelease(t, q, last)
		if keys := redistest.Keys(t, client, "together"); len(keys) != 0 {
			t.Errorf("%q are left", keys)
		}
		if n := redisqueue.Waiters(q); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
	}
}

// Up to 64 go as one call, those behind them with the next. Up to 256 calls of a client go as
// one pipeline: the others are not forgotten.
func TestTogetherMany(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client()
	q := redisqueue.New(client, "many")
	release := func(tickets []queue.Ticket) (last []queue.Ticket) {
		t.Helper()
		for i, err := range releaseTogether(t, q, tickets) {
			if err != nil {
				t.Errorf("release %d: %v", i, err)
			}
		}
		return tickets[len(tickets)-1:]
	}
	before := int64(0)
	wantCalls := func(what string, want int64) {
		t.Helper()
		if calls := callsOf(t, client) - before; calls != want {
			t.Errorf("%s are %d calls, want %d", what, calls, want)
		}
	}
	tickets := append([]queue.Ticket{mustRegister(t, q)}, registerTogether(t, q, 2)...)
	tickets = release(tickets) // so the server knows the scripts

	before = callsOf(t, client)
	tickets = append(tickets, registerTogether(t, q, 65)...)
	wantCalls("65 registrations", 2)
	for i, ticket := range tickets[1:] {
		if ticket.Ahead != i+1 {
			t.Errorf("ticket %d has %d ahead", i+1, ticket.Ahead)
		}
	}
	before = callsOf(t, client)
	tickets = release(tickets)
	wantCalls("65 releases", 2)

	before = callsOf(t, client)
	tickets = append(tickets, registerTogether(t, q, 257)...)
	wantCalls("257 registrations", 5)
	for i, ticket := range tickets[1:257] { // the last may overtake them, on a connection of its own
		if ticket.Number <= tickets[i].Number {
			t.Errorf("ticket %d has number %d, that in front of it %d", i+1, ticket.Number, tickets[i].Number)
		}
	}
	if list := members(t, q); len(list) != len(tickets) {
		t.Errorf("%d are in line, want %d", len(list), len(tickets))
	}

	if err := q.Refresh(t.Context(), tickets[0]); err != nil { // so the server knows this one, too
		t.Fatal(err)
	}
	var largest int // that of a new connection, which go-redis asks for its own ends, is small
	var mu sync.Mutex
	client.AddHook(ofPipelines(func(commands int) {
		mu.Lock()
		defer mu.Unlock()
		largest = max(largest, commands)
	}))
	errs := make(chan error)
	gather(q, 257, func(i int) { errs <- q.Refresh(t.Context(), tickets[i]) })()
	for range 257 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if largest != 256 {
		t.Errorf("of 257 calls %d are one pipeline, want 256", largest)
	}
}

// ofPipelines is a hook that is called with the number of commands of each pipeline.
type ofPipelines func(commands int)

func (ofPipelines) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (ofPipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (f ofPipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		f(len(commands))
		return next(ctx, commands)
	}
}

// The next in line is told, also if it is of another process.
func TestTogetherTellsTheNext(t *testing.T) {
	t.Parallel()
	l := newTogether(t)
	other := redisqueue.New(redistest.Client(t), l.name)
	tickets := append([]queue.Ticket{l.holder}, registerTogether(t, l.far, 2)...)
	next := mustRegister(t, other)
	wake, _ := watch(t, other, next)
	listening(t, other)
	for _, ticket := range tickets[1:] {
		watch(t, l.far, ticket)
	}
	errs := make(chan error)
	gather(l.far, 3, func(i int) { errs <- l.far.Release(t.Context(), tickets[i]) })()
	for range tickets {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	wantOwner(t, other, next, wake)
	wantHead(t, other, next)
	mustRelease(t, other, next)
}

// A call that cannot go together with others goes alone, and its caller does not notice.
func TestTogetherGoesAlone(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		before func(l *together) // the calls leave
		after  func(l *together)
	}{
		"register in an empty line": {
			before: func(l *together) { mustRelease(l.T, l.near, l.holder) },
			after: func(l *together) {
				l.wait()
				for i, r := range l.registration {
					if r.err != nil || r.ticket.Ahead != i {
						l.Errorf("Register %d = %+v, %v", i, r.ticket, r.err)
					}
				}
			},
		},
		"register behind a dead": {
			before: func(l *together) { l.direct.Del(l.Context(), leaseKey(l.name, l.holder)) },
			after: func(l *together) {
				l.wait()
				for i, r := range l.registration {
					if r.err != nil || r.ticket.Ahead != i {
						l.Errorf("Register %d = %+v, %v", i, r.ticket, r.err)
					}
				}
			},
		},
		"register in a line of the other kind": {
			before: func(l *together) {
				mustRelease(l.T, l.near, l.holder)
				mustRegister(l.T, l.near.Share(2))
			},
			after: func(l *together) {
				l.wait()
				for _, r := range l.registration {
					if r.err == nil || !strings.Contains(r.err.Error(), "Semaphore") {
						l.Errorf("Register: %v; want the kind", r.err)
					}
				}
			},
		},
		"register with no number left": {
			before: func(l *together) { l.direct.Set(l.Context(), "{"+l.name+"}:seq", int64(1<<53-3), redis.KeepTTL) },
			after: func(l *together) {
				l.wait()
				for i, r := range l.registration {
					if (i < 2) != (r.err == nil) {
						l.Errorf("Register %d = %+v, %v", i, r.ticket, r.err)
					}
				}
			},
		},
		"register where a key is of another kind": {
			before: func(l *together) {
				l.direct.Del(l.Context(), "{"+l.name+"}:queue")
				l.direct.Set(l.Context(), "{"+l.name+"}:queue", "of another kind", 0)
			},
			after: func(l *together) {
				l.wait()
				for _, r := range l.registration {
					if !redis.HasErrorPrefix(r.err, "WRONGTYPE") {
						l.Errorf("Register: %v; want WRONGTYPE", r.err)
					}
				}
				if keys := redistest.Keys(l.T, l.direct, l.name); len(keys) != 3 {
					l.Errorf("%q are left; want those that were there before", keys)
				}
			},
		},
	} {
		t.Run(what, func(t *testing.T) {
			l := newTogether(t)
			dispatch := l.begin(4)
			test.before(l)
			dispatch()
			test.after(l)
		})
	}
}

// A lost reply of a call for several is a lost reply for each: none has a second ticket,
// and none has one if its Register failed.
func TestLostReplyOfTogether(t *testing.T) {
	t.Parallel()
	for _, maxRetries := range []int{-1, 1, 3} {
		t.Run(fmt.Sprintf("retries=%d", maxRetries), func(t *testing.T) {
			l := newTogether(t, retries(maxRetries))
			l.proxy.LoseReplies(redisqueue.RegisterTogetherHash, 1)
			l.begin(4)()
			if maxRetries > 0 {
				l.awaitInLine()
				return
			}
			l.wait()
			for i, r := range l.registration {
				if r.err == nil {
					t.Errorf("Register %d had no error", i)
				}
			}
			l.wantLine([]string{l.holder.Member})
		})
	}
	t.Run("release", func(t *testing.T) {
		l := newTogether(t)
		tickets := append([]queue.Ticket{l.holder}, registerTogether(t, l.far, 4)...)
		l.proxy.LoseReplies(redisqueue.ReleaseTogetherHash, 1)
		for i, err := range releaseTogether(t, l.far, tickets) {
			if err != nil {
				t.Errorf("release %d: %v", i, err)
			}
		}
		last := tickets[len(tickets)-1]
		wantHead(t, l.far, last)
		wantNotQueued(t, l.far.Release(t.Context(), tickets[1]))
		l.wantLine([]string{last.Member})
		mustRelease(t, l.far, last)
	})
	t.Run("request of release", func(t *testing.T) {
		l := newTogether(t)
		tickets := append([]queue.Ticket{l.holder}, registerTogether(t, l.far, 4)...)
		l.proxy.LoseRequests(redisqueue.ReleaseTogetherHash, 1)
		for i, err := range releaseTogether(t, l.far, tickets) {
			if err != nil {
				t.Errorf("release %d: %v", i, err)
			}
		}
		l.wantLine([]string{tickets[4].Member})
	})
}

// A call for several that arrives when its callers have given up long ago is refused as a
// whole, also if only one of them has left a mark.
func TestLateTogether(t *testing.T) {
	t.Parallel()
	t.Run("given up", func(t *testing.T) {
		l := newTogether(t, retries(-1))
		_, deliver := l.proxy.DivertRequest(redisqueue.RegisterTogetherHash)
		l.begin(3)()
		l.wait()
		for i, r := range l.registration {
			if r.err == nil {
				t.Errorf("Register %d had no reply and no error", i)
			}
		}
		deliver()
		l.wantLine([]string{l.holder.Member})
	})
	t.Run("overtaken", func(t *testing.T) {
		l := newTogether(t, retries(5))
		_, deliver := l.proxy.DivertRequest(redisqueue.RegisterTogetherHash)
		l.begin(3)()
		l.wait()
		want := []string{l.holder.Member}
		list := members(t, l.near)
		if len(list) != 4 {
			t.Fatalf("%d are in line", len(list))
		}
		for _, m := range list[1:] {
			want = append(want, m.Ticket.Member)
		}
		deliver()
		l.wantLine(want)
		for _, r := range l.registration {
			mustRelease(t, l.far, r.ticket)
		}
		mustRelease(t, l.far, l.holder)
		wantEmpty(t, l.near)
	})
	t.Run("release", func(t *testing.T) {
		l := newTogether(t)
		tickets := append([]queue.Ticket{l.holder}, registerTogether(t, l.far, 4)...)
		_, deliver := l.proxy.DivertRequest(redisqueue.ReleaseTogetherHash)
		for i, err := range releaseTogether(t, l.far, tickets) {
			if err != nil {
				t.Errorf("release %d: %v", i, err)
			}
		}
		deliver()
		l.wantLine([]string{tickets[4].Member})
		wantHead(t, l.far, tickets[4])
	})
}

// A call returns when its ctx ends, whatever the others do, and leaves no ticket.
func TestTogetherCanceled(t *testing.T) {
	t.Parallel()
	t.Run("before", func(t *testing.T) {
		l := newTogether(t)
		dispatch := l.begin(3)
		ended := l.registration[1]
		ended.cancel()
		<-ended.done
		if !errors.Is(ended.err, context.Canceled) {
			t.Errorf("got %v; want Canceled", ended.err)
		}
		l.registration = slices.Delete(l.registration, 1, 2)
		dispatch()
		l.awaitInLine()
	})
	t.Run("under way", func(t *testing.T) {
		l := newTogether(t)
		heal := l.proxy.BlackHole()
		l.begin(3)()
		ended := l.registration[1]
		ended.cancel()
		time.AfterFunc(pause, heal) // before or after it has begun to take the request back
		<-ended.done
		if !errors.Is(ended.err, context.Canceled) {
			t.Errorf("got %v; want Canceled", ended.err)
		}
		l.wait()
		l.wantLine([]string{l.holder.Member, l.registration[0].ticket.Member, l.registration[2].ticket.Member})
	})
}

// The server has lost the tickets: each release says so.
func TestReleaseTogetherAfterLossOfData(t *testing.T) {
	t.Parallel()
	l := newTogether(t)
	tickets := append([]queue.Ticket{l.holder}, registerTogether(t, l.far, 3)...)
	l.direct.Del(t.Context(), redistest.Keys(t, l.direct, l.name)...)
	other := mustRegister(t, l.near)
	for _, err := range releaseTogether(t, l.far, tickets) {
		wantNotQueued(t, err)
	}
	wantHead(t, l.near, other)
}

// One in the middle is lost: the others leave, and the last is told that it owns.
func TestReleaseTogetherWithALostTicket(t *testing.T) {
	t.Parallel()
	l := newTogether(t)
	tickets := append([]queue.Ticket{l.holder}, registerTogether(t, l.far, 4)...)
	mustRelease(t, l.near, tickets[2])
	for i, err := range releaseTogether(t, l.far, tickets) {
		if lost := i == 2; lost != errors.Is(err, queue.ErrNotQueued) || !lost && err != nil {
			t.Errorf("release %d: %v", i, err)
		}
	}
	wantHead(t, l.far, tickets[4])
	mustRelease(t, l.far, tickets[4])
	wantEmpty(t, l.near)
}

// It works through every kind of client.
func TestTogetherThroughClients(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	client := redistest.Client(t)
	pipeliner, err := client.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	defer pipeliner.Close()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": redistest.Addr(t)}})
	defer ring.Close()
	clients := map[string]redis.UniversalClient{
		"AutoPipeliner": pipeliner,
		"Ring":          ring,
		"miniredis":     redistest.ClientOf(t, redistest.Miniredis(t)),
	}
	if !testing.Short() {
		clients["Cluster"] = redistest.StartCluster(t, false, neverDown).Client()
	}
	for what, client := range clients {
		t.Run(what, func(t *testing.T) {
			q := redisqueue.New(client, redistest.Name(t))
			for range 2 {
				tickets := append([]queue.Ticket{mustRegister(t, q)}, registerTogether(t, q, 5)...)
				for i, m := range members(t, q) {
					if m.Ticket.Member != tickets[i].Member || tickets[i].Ahead != i {
						t.Errorf("ticket %d is %+v; in line is %+v", i, tickets[i], m)
					}
				}
				for i, err := range releaseTogether(t, q, tickets) {
					if err != nil {
						t.Errorf("release %d: %v", i, err)
					}
				}
				mustRelease(t, q, tickets[5])
				wantEmpty(t, q)
			}
		})
	}
}

// Those of another line, or of other terms, do not go with the others.
func TestTogetherOfOneKind(t *testing.T) {
	t.Parallel()
	client := redistest.Client(t)
	name, other := redistest.Name(t), redistest.Name(t)
	const kinds = 5
	var queues []*redisqueue.Queue
	for range 2 { // the registrations of one value do not come together with others
		queues = append(queues,
			redisqueue.New(client, name),
			redisqueue.New(client, other),
			redisqueue.New(client, name, redisqueue.WithLease(time.Hour)),
			redisqueue.New(client, name, redisqueue.WithLabel("label")),
			redisqueue.New(client, name, redisqueue.WithCrashDetection(5*time.Second)))
	}
	var before []queue.Ticket
	for _, q := range queues { // the last waits for the connection by which it is seen
		before = append(before, mustRegister(t, q))
	}
	tickets, errs := make([]queue.Ticket, len(queues)), make(chan error)
	gather(redisqueue.New(client, redistest.Name(t)), len(tickets), func(i int) {
		var err error
		tickets[i], err = queues[i].Register(t.Context())
		errs <- err
	})()
	for range tickets {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	in := map[string]queue.Member{}
	for _, m := range append(members(t, queues[0]), members(t, queues[1])...) {
		in[m.Ticket.Member] = m
	}
	for i, ticket := range tickets {
		m := in[ticket.Member]
		_, inOther := client.ZScore(t.Context(), "{"+other+"}:queue", ticket.Member).Result()
		which := i % kinds
		if (inOther == nil) != (which == 1) || m.Ticket.Lease != ticket.Lease ||
			(m.Label == "label") != (which == 3) || (m.Unseen || m.CrashDetection > 0) != (which == 4) {
			t.Errorf("ticket %d of queue %d, %+v, is %+v in line", i, which, ticket, m)
		}
		mustRelease(t, queues[i], ticket)
		mustRelease(t, queues[i], before[i])
	}
}

// Calls of a process with crash detection show that it is there, each of them, however
// many come together.
func TestTogetherClearsTheMark(t *testing.T) {
	t.Parallel()
	client, name := redistest.Client(t), redistest.Name(t)
	mustRegister(t, redisqueue.New(client, name))
	q := redisqueue.New(client, name, redisqueue.WithCrashDetection(10*time.Second))
	first := mustRegister(t, q)
	_, token, _ := strings.Cut(first.Member, ":")
	notifier, _, _ := strings.Cut(token, ".")
	if err := client.HSet(t.Context(), "{"+name+"}:absent", notifier, 1).Err(); err != nil {
		t.Fatal(err)
	}
	others := registerTogether(t, q, 2)
	if client.HExists(t.Context(), "{"+name+"}:absent", notifier).Val() {
		t.Error("the process is marked as absent")
	}
	for _, ticket := range append(others, first) { // or the process shows for a while that it is there
		mustRelease(t, q, ticket)
	}
	client.Del(t.Context(), redistest.Keys(t, client, name)...)
}
