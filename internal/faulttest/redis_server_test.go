//go:build linux

package faulttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// line is a holder and waiters behind it, each a worker with one call.
type line struct {
	*harness.Harness
	workers []*harness.Process
	calls   []*harness.Call
}

// newLine starts n workers that call Lock one after the other. The first holds.
func newLine(t *testing.T, spec harness.Spec, n int) *line {
	t.Helper()
	l := &line{Harness: harness.New(t, spec)}
	l.Tolerant = true
	l.workers = l.StartAll(n)
	for _, w := range l.workers {
		c := w.Lock()
		c.Registered()
		l.calls = append(l.calls, c)
	}
	l.calls[0].Granted()
	return l
}

// drain releases the workers from the i'th on in the order in which they are
// granted, whatever that is, and returns the grants.
func (l *line) drain(t *testing.T, from int) []harness.Event {
	t.Helper()
	type grant struct {
		worker int
		event  harness.Event
	}
	grants := make(chan grant, len(l.calls))
	for i := from; i < len(l.calls); i++ {
		go func() {
			g := grant{worker: -1} // Granted may end this goroutine, but not the test
			defer func() { grants <- g }()
			g = grant{i, l.calls[i].Granted()}
		}()
	}
	var events []harness.Event
	for range len(l.calls) - from {
		g := <-grants
		if g.worker < 0 {
			t.FailNow()
		}
		events = append(events, g.event)
		l.workers[g.worker].Write()
		l.workers[g.worker].MustUnlock()
	}
	return events
}

// wantLost waits until a worker's hold is lost, and unlocks it.
func wantLost(t *testing.T, w *harness.Process) harness.Event {
	t.Helper()
	e := w.AwaitKind(0, harness.Lost)
	if u := w.Unlock(); u.Cause != harness.CauseLost {
		t.Errorf("Unlock of a lost hold returned %q, want ErrLost", u.Error)
	}
	return e
}

// The server crashes and has forgotten everything when it is back: the holder
// loses the lock, the others line up again, and tokens ascend.
func TestR01RestartWithoutData(t *testing.T) {
	server := redistest.StartServer(t)
	l := newLine(t, harness.Redis(server.Addr, "restart", 2*time.Second), 4)
	server.Kill()
	server.Start()
	wantLost(t, l.workers[0])
	l.drain(t, 1)
	l.Check()
	l.CheckNothingIsLeft()
}

// The server comes back with data from before: the holder's ticket is not among
// them, and one that was released is.
func TestR02RestartWithOldData(t *testing.T) {
	server := redistest.StartServer(t)
	h := harness.New(t, harness.Redis(server.Addr, "restart", 2*time.Second))
	workers := h.StartAll(3)
	first := workers[0].Lock().Granted()
	if err := server.Client().Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	workers[0].MustUnlock()
	second := workers[1].Lock().Granted()
	server.Kill()
	server.Start()
	wantLost(t, workers[1])
	third := workers[2].Lock().Granted() // after the resurrected one has lapsed
	if first.Ticket >= second.Ticket || second.Ticket >= third.Ticket {
		t.Errorf("tokens %d, %d, %d do not ascend", first.Ticket, second.Ticket, third.Ticket)
	}
	workers[2].MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// With its data the server comes back as if nothing had happened. (With
// everysec it does not have all: what comes while it syncs is written later.)
func TestR02RestartWithData(t *testing.T) {
	server := redistest.StartServer(t, "--appendonly", "yes", "--appendfsync", "always")
	l := newLine(t, harness.Redis(server.Addr, "restart", aLongLease), 4)
	server.Kill()
	server.Start()
	l.workers[0].Write()
	l.workers[0].MustUnlock()
	l.drain(t, 1)
	if v := l.Check(); v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
	l.CheckNothingIsLeft()
}

// All keys vanish, in all the ways in which they can.
func TestR03Flush(t *testing.T) {
	for _, command := range []string{"FLUSHALL", "FLUSHDB ASYNC", "SWAPDB 0 1"} {
		t.Run(command, func(t *testing.T) {
			server := redistest.StartServer(t)
			l := newLine(t, harness.Redis(server.Addr, "flushed", time.Second), 6)
			do(t, server.Client(), command)
			wantLost(t, l.workers[0])
			l.drain(t, 1)
			l.Check()
			l.CheckNothingIsLeft()
		})
	}
}

func do(t *testing.T, client redis.UniversalClient, command string) any {
	t.Helper()
	var args []any
	for word := range strings.FieldsSeq(command) {
		args = append(args, word)
	}
	v, err := client.Do(t.Context(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("%s: %v", command, err)
	}
	return v
}

// Single keys vanish.
func TestR04KeysVanish(t *testing.T) {
	for name, c := range map[string]struct {
		key  string // what its end matches
		lost bool   // the holder loses the lock
	}{
		"seq":             {":seq", false},
		"queue":           {":queue", true},
		"holder's lease":  {"", true},
		"all of the keys": {"*", true},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.StartServer(t)
			client := server.Client()
			spec := harness.Redis(server.Addr, "vanishing", time.Second)
			h := harness.New(t, spec)
			workers := h.StartAll(3)
			held := workers[0].Lock().Granted()
			var vanish []string
			for _, key := range redistest.Keys(t, client, spec.Name) {
				lease := strings.Contains(key, ":lease:")
				if c.key == "*" || c.key == "" && lease || c.key != "" && strings.HasSuffix(key, c.key) {
					vanish = append(vanish, key)
				}
			}
			second := workers[1].Lock()
			second.Registered()
			if n, err := client.Del(t.Context(), vanish...).Result(); err != nil || n == 0 {
				t.Fatalf("deleted %d keys of %q: %v", n, vanish, err)
			}
			if c.lost {
				wantLost(t, workers[0])
			} else {
				second.StaysBlocked(aMoment)
				workers[0].MustUnlock()
			}
			if e := second.Granted(); e.Ticket <= held.Ticket {
				t.Errorf("token %d comes after %d", e.Ticket, held.Ticket)
			}
			workers[1].MustUnlock()
			workers[2].Lock().Granted()
			workers[2].MustUnlock()
			h.Check()
			h.CheckNothingIsLeft()
		})
	}
}

// disturb does something to the server again and again while workers contend,
// and checks that each of them got through all of its sections.
func disturb(t *testing.T, spec harness.Spec, sections int, every time.Duration, disturbance func(ctx context.Context) error) harness.Verdict {
	t.Helper()
	const workers = 4
	h := harness.New(t, spec)
	h.Tolerant = true
	h.Section = 200 * time.Microsecond
	all := h.StartAll(workers)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		n := 0
		for tick := time.NewTicker(every); ctx.Err() == nil; n++ {
			if err := disturbance(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			<-tick.C
		}
		ended <- n
	}()
	for _, w := range all {
		w.Run(1, sections)
	}
	for _, w := range all {
		w.Finished()
	}
	cancel()
	t.Logf("disturbed %d times", <-ended)
	v := h.Check()
	h.CheckNothingIsLeft()
	return v
}

func TestR05ScriptFlush(t *testing.T) {
	server := redistest.StartServer(t)
	client := server.Client()
	v := disturb(t, harness.Redis(server.Addr, "scripts", aLongLease), 150, 2*time.Millisecond, func(ctx context.Context) error {
		return client.ScriptFlush(ctx).Err()
	})
	if v.Failures != 0 || v.LostHolds != 0 {
		t.Errorf("%v; want that nobody notices", v)
	}
}

func TestR07ConnectionsKilled(t *testing.T) {
	server := redistest.StartServer(t)
	client := server.Client()
	v := disturb(t, harness.Redis(server.Addr, "connections", aLongLease), 150, 20*time.Millisecond, func(ctx context.Context) error {
		return client.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err()
	})
	if v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
}

// Without the connection that wakes them up, waiters are served all the same,
// and a connection that breaks does not leave anything behind.
func TestR08SubscriptionsKilled(t *testing.T) {
	server := redistest.StartServer(t)
	client := server.Client()
	v := disturb(t, harness.Redis(server.Addr, "subscriptions", aLongLease), 12, 50*time.Millisecond, func(ctx context.Context) error {
		return client.Do(ctx, "CLIENT", "KILL", "TYPE", "pubsub").Err()
	})
	if v.Failures != 0 || v.LostHolds != 0 {
		t.Errorf("%v; want that nobody notices", v)
	}
}

// A script of somebody else's keeps the server busy.
func TestR06BusyScript(t *testing.T) {
	server := redistest.StartServer(t, "--lua-time-limit", "100")
	client := server.Client(func(o *redis.Options) { o.ReadTimeout = time.Minute })
	l := newLine(t, harness.Redis(server.Addr, "busy", aLongLease), 2)
	looping := make(chan error, 1)
	go func() { looping <- client.Eval(t.Context(), "while true do end", nil).Err() }()
	newcomer := l.Start()
	// Its ctx ends in time; whatever the server answers until then.
	for {
		c := newcomer.LockFor(500 * time.Millisecond)
		called := c.Called()
		e := c.Cancelled()
		if took := since(called, e); took > 500*time.Millisecond+time.Second {
			t.Errorf("Lock returned after %v, with a ctx of 500 ms", took)
		}
		if busy := client.Ping(t.Context()).Err(); redis.HasErrorPrefix(busy, "BUSY") {
			break
		}
	}
	if err := client.ScriptKill(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	<-looping
	l.workers[0].MustUnlock()
	l.drain(t, 1)
	if v := l.Check(); v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
	l.CheckNothingIsLeft()
}

// The server is silent for three leases. The holder knows by its own clock that
// it has lost the lock, before the next can have it.
func TestR09ServerSilent(t *testing.T) {
	const lease = time.Second
	for name, silence := range map[string]func(t *testing.T, s *redistest.Server){
		"CLIENT PAUSE ALL":   func(t *testing.T, s *redistest.Server) { do(t, s.Client(), "CLIENT PAUSE 3000 ALL") },
		"CLIENT PAUSE WRITE": func(t *testing.T, s *redistest.Server) { do(t, s.Client(), "CLIENT PAUSE 3000 WRITE") },
		"R10 stopped": func(t *testing.T, s *redistest.Server) {
			s.Pause()
			time.AfterFunc(3*lease, s.Resume)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.StartServer(t)
			l := newLine(t, harness.Redis(server.Addr, "silent", lease), 3)
			silence(t, server)
			lost := wantLost(t, l.workers[0])
			grants := l.drain(t, 1)
			if early := since(lost, grants[0]); early < 0 {
				t.Errorf("the next was granted %v before the holder knew", -early)
			}
			l.Check()
			l.CheckNothingIsLeft()
		})
	}
}

// The network from the holder alone swallows everything: it knows by its own
// clock that it has lost the lock, before the next gets it.
func TestR16HalfOpen(t *testing.T) {
	t.Parallel()
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	spec := redisQueue(t, 2*time.Second)
	far := spec
	far.Addr = proxy.Addr
	h := harness.New(t, spec)
	h.Tolerant = true
	a, b := h.Start(harness.With(far)), h.Start()
	a.Lock().Granted()
	call := b.Lock()
	call.Registered()
	heal := proxy.BlackHole()
	defer heal()
	lost, granted := a.AwaitKind(0, harness.Lost), call.Granted()
	if early := since(lost, granted); early < 0 {
		t.Errorf("the next was granted %v before the holder knew", -early)
	} else {
		t.Logf("the holder knew %v before the next was granted", early)
	}
	b.MustUnlock()
	if e := a.Unlock(); e.Cause != harness.CauseLost {
		t.Errorf("Unlock returned %q, want ErrLost", e.Error)
	}
	heal()
	h.Check()
	h.CheckNothingIsLeft()
}

// Without memory the holder keeps the lock, whoever waits gets it, and nobody
// new comes in.
func TestR18OutOfMemory(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	server := redistest.StartServer(t, "--maxmemory-policy", "noeviction")
	l := newLine(t, harness.Redis(server.Addr, "full", lease), 3)
	do(t, server.Client(), "CONFIG SET maxmemory 1")
	newcomer := l.Start()
	if e := newcomer.Lock().Cancelled(); !strings.Contains(e.Error, "OOM") {
		t.Errorf("Lock returned %q, want OOM", e.Error)
	}
	l.calls[1].StaysBlocked(3 * lease)
	l.workers[0].MustUnlock()
	l.drain(t, 1)
	if v := l.Check(); v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
	l.CheckNothingIsLeft()
}

// A server that throws keys away when its memory is short throws tickets away.
// The lock may be lost then, but not without its owner's knowledge.
func TestR19EvictionPolicies(t *testing.T) {
	for _, policy := range []string{"allkeys-lru", "R20 volatile-ttl"} {
		t.Run(policy, func(t *testing.T) {
			server := redistest.StartServer(t, "--maxmemory", "2mb", "--maxmemory-policy", strings.TrimPrefix(policy, "R20 "))
			client := server.Client()
			i := 0
			disturb(t, harness.Redis(server.Addr, "evicted", time.Second), 150, time.Millisecond, func(ctx context.Context) error {
				for range 20 {
					i++
					// Where it is the last to go, OOM is what it gets.
					_ = client.Set(ctx, fmt.Sprint("other:", i%500), strings.Repeat("x", 4096), time.Hour).Err()
				}
				return nil
			})
		})
	}
}

// A client of a replica gets an error that says so, and soon.
func TestR21Replica(t *testing.T) {
	server := redistest.StartServer(t)
	client := server.Client()
	m := lock.New(queue.NewRedis(client, "replica"))
	do(t, client, "REPLICAOF 127.0.0.1 1")
	began := time.Now()
	for operation, err := range map[string]error{"Lock": m.Lock(t.Context()), "TryLock": tryLock(t, m)} {
		if !redis.HasErrorPrefix(errors.Unwrap(err), "READONLY") && (err == nil || !strings.Contains(err.Error(), "READONLY")) {
			t.Errorf("%s returned %v, want READONLY", operation, err)
		}
	}
	if took := time.Since(began); took > 2*soon {
		t.Errorf("both took %v", took)
	}
}

func tryLock(t *testing.T, m *lock.Mutex) error {
	_, err := m.TryLock(t.Context())
	return err
}

// The primary turns into a replica and back: nothing is lost.
func TestR22DemotedAndBack(t *testing.T) {
	t.Parallel()
	const lease = 5 * time.Second
	server := redistest.StartServer(t)
	l := newLine(t, harness.Redis(server.Addr, "demoted", lease), 3)
	do(t, server.Client(), "REPLICAOF 127.0.0.1 1")
	l.calls[1].StaysBlocked(lease / 2)
	do(t, server.Client(), "REPLICAOF NO ONE")
	l.workers[0].MustUnlock()
	l.drain(t, 1)
	if v := l.Check(); v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
	l.CheckNothingIsLeft()
}

// The holder's user is deleted: it loses the lock by its own clock, and others
// get an error that says why.
func TestR31UserDeleted(t *testing.T) {
	const lease = time.Second
	server := redistest.StartServer(t)
	admin := server.Client()
	do(t, admin, "ACL SETUSER holder on >secret +@all ~* &*")
	reasons := make(chan error, 1)
	client := server.Client(func(o *redis.Options) { o.Username, o.Password = "holder", "secret" })
	m := lock.New(queue.NewRedis(client, "users", queue.WithStaleTimeout(lease)), lock.WithTrace(&lock.Trace{
		Lost: func(_ queue.Ticket, err error) { reasons <- err },
	}))
	mustLock(t, m)
	do(t, admin, "ACL DELUSER holder")
	<-m.Lost()
	if err := <-reasons; !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("the hold was lost because of %v, want WRONGPASS", err)
	}
	if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	if err := m.Lock(t.Context()); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("Lock returned %v, want WRONGPASS", err)
	}
}

// The server has no connections left for others. What is
// connected goes on.
func TestR39NoConnectionsLeft(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	server := redistest.StartServer(t)
	l := newLine(t, harness.Redis(server.Addr, "crowded", lease), 2)
	do(t, server.Client(), "CONFIG SET maxclients 1")
	newcomer := l.Start()
	newcomer.Lock().Cancelled() // the server hangs up; what it says before gets lost now and then
	l.calls[1].StaysBlocked(3 * lease)
	l.workers[0].MustUnlock()
	l.drain(t, 1)
	if v := l.Check(); v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
}

// The only connection of the client's pool is kept by a command of the user's.
// That may cost the lock, as any silence, but not without its owner's knowledge.
func TestR39PoolUsedUp(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	redistest.NeedReal(t)
	client := redistest.Client(t, func(o *redis.Options) { o.PoolSize, o.ReadTimeout = 1, 10*time.Second })
	name := redistest.Name(t)
	m := lock.New(queue.NewRedis(client, name, queue.WithStaleTimeout(lease)))
	next := lock.New(queue.NewRedis(redistest.Client(t), name, queue.WithStaleTimeout(lease)))
	mustLock(t, m)
	lost := m.Lost()
	blocking := make(chan error, 1)
	go func() { blocking <- client.BLPop(t.Context(), 4*lease, name+"-other").Err() }()
	mustLock(t, next)
	select {
	case <-lost:
	default:
		t.Error("somebody else owns the lock, and the owner does not know")
	}
	<-blocking
	if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	mustUnlock(t, next)
}

// Two queues of one name in two databases of a server share the channels of the
// wake-ups, and nothing else.
func TestR41SameNameInTwoDatabases(t *testing.T) {
	server := redistest.StartServer(t)
	var all []*harness.Harness
	for db := range 2 {
		spec := harness.Redis(server.Addr, "same", aLongLease)
		spec.DB = db
		h := harness.New(t, spec)
		h.Section = 500 * time.Microsecond
		for _, w := range h.StartAll(3) {
			w.Run(1, 100)
		}
		all = append(all, h)
	}
	for _, h := range all {
		h.AwaitCount(harness.Done, 3)
		h.Check()
		h.CheckNothingIsLeft()
	}
}

// The server refuses to write. Leases need no memory, but this is not about
// memory: the holder tries until its lease has run out, and says why it has.
func TestR43WritesRefused(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	server := redistest.StartServer(t)
	l := newLine(t, harness.Redis(server.Addr, "refused", lease), 2)
	client := server.Client()
	do(t, client, "CONFIG SET min-replicas-to-write 1")
	newcomer := l.Start()
	if e := newcomer.Lock().Cancelled(); !strings.Contains(e.Error, "NOREPLICAS") {
		t.Errorf("Lock returned %q, want NOREPLICAS", e.Error)
	}
	if u := wantLostBecause(t, l.workers[0]); !strings.Contains(u.Error, "NOREPLICAS") {
		t.Errorf("Unlock returned %q, want that it names NOREPLICAS", u.Error)
	}
	do(t, client, "CONFIG SET min-replicas-to-write 0")
	// The waiter may have given up, when its own lease ran out: then with the
	// server's error.
	e := l.workers[1].Await(0, "an end", func(e harness.Event) bool {
		return e.Kind == harness.Granted || e.Kind == harness.Cancelled
	})
	if e.Kind == harness.Granted {
		l.workers[1].MustUnlock()
	} else if !strings.Contains(e.Error, "NOREPLICAS") {
		t.Errorf("the waiter was told %q, want NOREPLICAS", e.Error)
	}
	l.Check()
	l.CheckNothingIsLeft()
}

func wantLostBecause(t *testing.T, w *harness.Process) harness.Event {
	t.Helper()
	w.AwaitKind(0, harness.Lost)
	e := w.Unlock()
	if e.Cause != harness.CauseLost {
		t.Errorf("Unlock of a lost hold returned %q, want ErrLost", e.Error)
	}
	return e
}

// A snapshot fails, and the server refuses to write until one succeeds.
func TestR43Misconfigured(t *testing.T) {
	server := redistest.StartServer(t, "--save", "3600", "1", "--dbfilename", "occupied")
	client := server.Client()
	m := lock.New(queue.NewRedis(client, "misconfigured"))
	// A directory cannot be overwritten by a snapshot.
	dir := do(t, client, "CONFIG GET dir").(map[any]any)["dir"].(string)
	mustMkdir(t, dir+"/occupied/file")
	do(t, client, "BGSAVE")
	for !strings.Contains(client.Info(t.Context(), "persistence").Val(), "rdb_last_bgsave_status:err") {
		time.Sleep(time.Millisecond)
	}
	if err := m.Lock(t.Context()); err == nil || !strings.Contains(err.Error(), "MISCONF") {
		t.Errorf("Lock returned %v, want MISCONF", err)
	}
	do(t, client, "CONFIG SET stop-writes-on-bgsave-error no")
	mustLock(t, m)
	mustUnlock(t, m)
}

// The server is away for longer than the lease, while the holder works.
func TestR44UnlockWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	server := redistest.StartServer(t, "--appendonly", "yes")
	spec := harness.Redis(server.Addr, "away", lease)
	spec.Release = 500 * time.Millisecond
	h := harness.New(t, spec)
	h.Tolerant = true
	workers := h.StartAll(3)
	workers[0].Lock().Granted()
	server.Kill()
	began := harness.Event{At: harness.Now()}
	if e := workers[0].Unlock(); e.Cause == harness.None {
		t.Error("Unlock returned nil, without a server")
	} else if took := since(began, e); took > spec.Release+soon {
		t.Errorf("Unlock took %v with a release timeout of %v: %s", took, spec.Release, e.Error)
	}
	server.Start()
	workers[1].Lock().Granted() // the ticket that stayed behind lapses
	server.Kill()
	workers[1].AwaitKind(0, harness.Lost)
	server.Start()
	workers[2].Lock().Granted()
	if e := workers[1].Unlock(); e.Cause != harness.CauseLost {
		t.Errorf("Unlock returned %q, want ErrLost", e.Error)
	}
	if _, ok := workers[0].TryLock(); ok {
		t.Error("a late Unlock has released the lock of another")
	}
	workers[2].MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}
