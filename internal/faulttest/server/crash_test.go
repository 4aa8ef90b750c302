//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

const (
	// longLease is longer than any of these tests takes: what is noticed within it was
	// noticed by crash detection.
	longLease = 2 * time.Minute

	// grace is the time after which the end of a process counts.
	grace = 500 * time.Millisecond

	// longGrace is longer than a restart or a failover, also on a busy machine.
	longGrace = 10 * time.Second
)

func spec(addr, name string) harness.Spec { return specOf(addr, name, grace) }

func specOf(addr, name string, grace time.Duration) harness.Spec {
	s := harness.Redis(addr, name, longLease)
	s.Crash = grace
	return s
}

// armed waits until the server notices the end of the processes of so many tickets.
func armed(t *testing.T, q queue.TicketQueue, n int) {
	t.Helper()
	for !isArmed(t, q, n) {
		time.Sleep(faulttest.Moment / 10) // between two looks
	}
}

func isArmed(t *testing.T, q queue.TicketQueue, n int) bool {
	t.Helper()
	members, err := queue.Members(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, m := range members {
		if m.CrashDetection > 0 && m.Gone.IsZero() {
			count++
		}
	}
	return count == n
}

// holderAndWaiter starts a process that holds and one that waits. The server notices the
// ends of both.
func holderAndWaiter(t *testing.T, s harness.Spec) (h *harness.Harness, a, b *harness.Process, call *harness.Call) {
	t.Helper()
	h = harness.New(t, s)
	a, b = h.Start(), h.Start()
	a.Lock().Granted()
	call = b.Lock()
	call.Registered()
	q, closeQueue := s.Open()
	t.Cleanup(closeQueue)
	armed(t, q, 2)
	return h, a, b, call
}

// seenAnew waits until so many leases say that this run of the server has seen their
// owners.
func seenAnew(t *testing.T, server *redistest.Server, name string, n int) {
	t.Helper()
	client := server.Client()
	for count := 0; count != n; time.Sleep(faulttest.Moment / 10) {
		count = 0
		info, err := client.InfoMap(t.Context(), "server").Result()
		if err != nil {
			continue // it has just been started
		}
		for _, key := range redistest.Keys(t, client, name) {
			if value := client.Get(t.Context(), key).Val(); strings.Contains(value, info["Server"]["run_id"]+"/") {
				count++
			}
		}
	}
}

// goesOn checks that a, which holds, was not lost, and that the end of b, which waits, is
// noticed when it holds.
func goesOn(t *testing.T, h *harness.Harness, a, b *harness.Process, waits *harness.Call) {
	t.Helper()
	a.MustUnlock() // the server still had the ticket
	waits.Granted()
	again := a.Lock()
	again.Registered()
	q, closeQueue := h.Spec.Open()
	defer closeQueue()
	armed(t, q, 2)
	b.Kill()
	again.Granted()
	a.MustUnlock()
	if v := h.Check(); v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
	h.CheckNothingIsLeft()
}

// A process that is killed leaves the line long before its lease: as its holder, and
// together with all its waiters.
//
//  1. A holds, two goroutines of A and one of B wait behind it; C is behind them.
//  2. A and B are killed.
//  3. C owns. Nothing is left behind when it has unlocked.
func TestK26KilledProcessLeavesTheLine(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	s := spec(server.Addr, "killed")
	h := harness.New(t, s)
	a, b, c := h.Start(), h.Start(), h.Start()
	a.Lock().Granted()
	for range 2 {
		a.StandInLine()
	}
	b.StandInLine()
	call := c.StandInLine()
	q, closeQueue := s.Open()
	defer closeQueue()
	armed(t, q, 5)
	began := time.Now()
	a.Kill()
	b.Kill()
	call.Granted()
	if took := time.Since(began); took > longLease/2 {
		t.Errorf("it took %v, which is the lease's doing", took)
	}
	c.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// A process that is far from the server has tickets in line before the server sees its
// connection. The end of each is noticed as soon as it does, long before their
// heartbeats.
//
//  1. A holds, and three goroutines of A wait, while A's SUBSCRIBE is on its way.
//  2. It arrives. The server notices the end of all four from now on.
//  3. A is killed, and B owns.
func TestKilledProcessThatWasSeenLate(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	proxy := redistest.NewProxy(t, server.Addr)
	_, let := proxy.DelayRequests("\r\nsubscribe\r\n", 1000)
	s := spec(server.Addr, "late")
	h := harness.New(t, s)
	a, b := h.Start(harness.With(spec(proxy.Addr, "late"))), h.Start()
	a.Lock().Granted()
	for range 3 {
		a.StandInLine()
	}
	call := b.StandInLine()
	q, closeQueue := s.Open()
	defer closeQueue()
	armed(t, q, 1) // B
	began := time.Now()
	let()
	armed(t, q, 5)
	if took := time.Since(began); took > longLease/4 {
		t.Errorf("it took %v, which is the heartbeats' doing", took)
	}
	a.Kill()
	call.Granted()
	if took := time.Since(began); took > longLease/2 {
		t.Errorf("it took %v, which is the lease's doing", took)
	}
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// A process with many tickets is killed: all leave the line together, and the one behind
// them, which nothing tells, is not long in looking: TestHintedWithinTheGraceTime.
//
//  1. A holds, 29 goroutines of A wait. B is behind them.
//  2. A is killed, and B owns.
func TestKilledProcessWithManyTickets(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	s := spec(server.Addr, "many")
	h := harness.New(t, s)
	a, b := h.Start(), h.Start()
	a.Lock().Granted()
	for range 29 {
		a.StandInLine()
	}
	call := b.StandInLine()
	q, closeQueue := s.Open()
	defer closeQueue()
	armed(t, q, 31)
	began := time.Now()
	a.Kill()
	call.Granted()
	took := time.Since(began)
	if took > longLease/2 {
		t.Errorf("it took %v, which is the lease's doing", took)
	}
	t.Logf("after %v; crash detection is after %v", took, grace)
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// shown waits until so many processes are connected again, and have shown themselves by
// as many scripts; or until one of them has not kept its ticket.
func shown(t *testing.T, admin *redis.Client, n int, kept func() bool) {
	t.Helper()
	scripts := func() (calls int) {
		stats, err := admin.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, stats, _ = strings.Cut(stats, "cmdstat_evalsha:calls=")
		_, _ = fmt.Sscan(strings.ReplaceAll(stats, ",", " "), &calls)
		return calls
	}
	for before := scripts(); kept(); time.Sleep(grace / 100) {
		list, err := admin.Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(list, "id=") >= n && scripts() >= before+n {
			return
		}
	}
}

// All connections of a holder are killed, again and again, as soon as it has shown itself
// on new ones. It lives and keeps the lock.
func TestK27KilledConnectionsAreNoDeath(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, grace, func(grace time.Duration) bool {
		server := redistest.StartServer(t)
		h, a, b, call := holderAndWaiter(t, specOf(server.Addr, "connections", grace))
		admin := server.Client()
		kept := func() bool { return faulttest.Kept(h, 2) }
		for began := time.Now(); time.Since(began) < 6*grace && kept(); shown(t, admin, 2, kept) {
			for _, kind := range []string{"pubsub", "normal"} {
				if err := admin.Do(t.Context(), "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes").Err(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !faulttest.KeptFor(h, 2, 2*grace) || !call.IsBlockedFor(faulttest.Moment) {
			return false
		}
		goesOn(t, h, a, b, call)
		return true
	})
}

// A server that is stopped for many grace times has closed nothing: no one is lost.
func TestK28StoppedServerIsNoDeath(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, grace, func(grace time.Duration) bool {
		server := redistest.StartServer(t)
		h, a, b, call := holderAndWaiter(t, specOf(server.Addr, "stopped", grace))
		server.Pause()
		blocked := call.IsBlockedFor(6 * grace)
		server.Resume()
		if !faulttest.KeptFor(h, 2, 2*grace) || !blocked || !call.IsBlockedFor(faulttest.Moment) {
			return false
		}
		goesOn(t, h, a, b, call)
		return true
	})
}

// A holder that is stopped for many grace times keeps its connection, and the lock.
func TestStoppedHolderIsNoDeath(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	h, a, b, call := holderAndWaiter(t, spec(server.Addr, "stopped"))
	a.Stop()
	call.StaysBlocked(6 * grace)
	a.Continue()
	call.StaysBlocked(2 * grace)
	goesOn(t, h, a, b, call)
}

// A holder that is stopped loses the lock if its connection is closed meanwhile. It is
// told as soon as it goes on.
func TestStoppedHolderWithoutItsConnection(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	h, a, b, call := holderAndWaiter(t, spec(server.Addr, "stopped"))
	a.Stop()
	faulttest.Do(t, server.Client(), "CLIENT KILL TYPE pubsub")
	call.Granted()
	a.Continue()
	a.AwaitKind(0, harness.Lost)
	if e := a.Unlock(); e.Cause != harness.CauseLost {
		t.Errorf("Unlock of the one that was stopped returned %q, want ErrLost", e.Error)
	}
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// A server that is killed, and started again with its data before the grace time is
// over, has not seen the owners: no one is lost, and the end of a process is noticed again
// after that.
func TestRestartedServerIsNoDeath(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--appendonly", "yes", "--appendfsync", "always")
	s := spec(server.Addr, "restarted")
	s.Crash = longGrace
	h, a, b, call := holderAndWaiter(t, s)
	server.Kill()
	server.Start()
	seenAnew(t, server, s.Name, 2) // it is the owners' reconnecting that tells the new server
	goesOn(t, h, a, b, call)
}

// A primary that becomes a replica, closes the connections, and is the primary again: no
// one is lost.
func TestDemotedPrimaryIsNoDeath(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	s := spec(server.Addr, "demoted")
	s.Crash = longGrace
	h, a, b, call := holderAndWaiter(t, s)
	admin := server.Client()
	faulttest.Do(t, admin, "REPLICAOF 127.0.0.1 1")
	faulttest.Do(t, admin, "CLIENT KILL TYPE pubsub")
	call.StaysBlocked(faulttest.Moment)
	faulttest.Do(t, admin, "REPLICAOF NO ONE")
	goesOn(t, h, a, b, call)
}

// Without memory in the server a process that lives shows itself all the same, and the end
// of one is noticed.
func TestOutOfMemoryIsNoDeath(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 4*grace, func(grace time.Duration) bool {
		server := redistest.StartServer(t, "--maxmemory-policy", "noeviction")
		h, a, b, call := holderAndWaiter(t, specOf(server.Addr, "full", grace))
		admin := server.Client()
		faulttest.Do(t, admin, "CONFIG SET maxmemory 1")
		faulttest.Do(t, admin, "CLIENT KILL TYPE pubsub")
		if !call.IsBlockedFor(3*grace/2) || !faulttest.Kept(h, 2) {
			return false
		}
		a.Kill()
		call.Granted()
		b.MustUnlock()
		if v := h.Check(); v.LostHolds != 0 || v.Evicted != 0 {
			t.Errorf("%v; want nothing lost", v)
		}
		h.CheckNothingIsLeft()
		return true
	})
}

// The connection of a holder breaks while all of its client's others are in use. It
// cannot show itself, and is told before another one owns.
func TestPoolUsedUp(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, grace, func(grace time.Duration) bool { return poolUsedUp(t, grace) })
}

// poolUsedUp reports whether the holder was told before the next one owned.
func poolUsedUp(t *testing.T, grace time.Duration) (told bool) {
	t.Helper()
	server := redistest.StartServer(t)
	client := server.Client(func(o *redis.Options) { o.PoolSize = 1 })
	options := []redisqueue.Option{redisqueue.WithLease(longLease), redisqueue.WithCrashDetection(grace)}
	a := lock.New(redisqueue.New(client, "pool", options...))
	q := redisqueue.New(server.Client(), "pool", options...)
	b := lock.New(q)
	if err := a.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	owns := lockInBackground(t, b)
	armed(t, q, 2)
	admin := server.Client()
	used := make(chan error, 1)
	go func() { used <- client.BLPop(t.Context(), 0, "free").Err() }()
	for admin.InfoMap(t.Context(), "clients").Val()["Clients"]["blocked_clients"] != "1" {
		time.Sleep(grace / 100)
	}
	faulttest.Do(t, admin, "CLIENT KILL TYPE pubsub")
	<-a.Lost()
	select {
	case <-owns: // the holder's clock had no time to say so, or it does not know
	default:
		told = true
	}
	faulttest.Do(t, admin, "LPUSH free x")
	if err := <-used; err != nil {
		t.Error(err)
	}
	if err := a.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock of the lost hold: %v, want ErrLost", err)
	}
	<-owns
	if err := b.Unlock(); err != nil {
		t.Error(err)
	}
	return told
}

// An owner's connections break, and it cannot make new ones. It is told before another
// one owns.
//
//  1. A holds through a gate, B waits.
//  2. The gate breaks A's connections, and all new ones, or does not let them be answered.
//  3. A's Lost closes, by A's own clock; then B owns.
func TestK29CutOffOwnerIsToldFirst(t *testing.T) {
	t.Parallel()
	for what, cut := range map[string]func(*gate){"refused": (*gate).refuse, "not answered": (*gate).blackhole} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cutOff(t, cut)
		})
	}
}

func cutOff(t *testing.T, cut func(*gate)) {
	faulttest.WithLease(t, grace, func(grace time.Duration) (told bool) {
		server := redistest.StartServer(t)
		g := newGate(t, server.Addr)
		a, b, q := twoMutexes(t, server, g, grace)
		armed(t, q, 1)
		lost := a.Lost()
		owns := lockAfterLoss(t, b, lost)
		armed(t, q, 2)
		cut(g)
		<-lost
		told = <-owns
		g.open()
		if err := a.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock of the lost hold: %v, want ErrLost", err)
		}
		if a.Token() != 0 || b.Unlock() != nil {
			t.Error("the second hold was touched")
		}
		return told // or A's clock had no time to say so
	})
}

// lockAfterLoss locks b. It returns a channel that says, then, whether the other had been
// told that it lost the lock.
func lockAfterLoss(t *testing.T, b *lock.Mutex, lost <-chan struct{}) <-chan bool {
	owns := make(chan bool, 1)
	go func() {
		err := b.Lock(t.Context())
		select {
		case <-lost:
			owns <- true
		default:
			owns <- false
		}
		if err != nil {
			t.Error(err)
		}
	}()
	return owns
}

// The connection of a holder breaks, and a new one is dialled for long, whatever the ctx
// says, as with TLS and a server that has much to do. It still has connections that
// work: it lives and keeps the lock.
func TestBrokenConnectionThatHangsWhileDialled(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, grace, func(grace time.Duration) (kept bool) {
		server := redistest.StartServer(t)
		hanging, over := new(atomic.Bool), make(chan struct{})
		release := sync.OnceFunc(func() { close(over) })
		defer release()
		a, b, q := twoMutexes(t, server, newGate(t, server.Addr), grace, func(o *redis.Options) {
			o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if hanging.Load() {
					<-over
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
		})
		armed(t, q, 1)
		owns := lockAfterLoss(t, b, a.Lost())
		armed(t, q, 2)
		hanging.Store(true)
		faulttest.Do(t, server.Client(), "CLIENT KILL TYPE pubsub")
		select {
		case told := <-owns:
			if !told {
				t.Error("two hold the lock")
			}
			_ = a.Unlock()
		case <-time.After(6 * grace):
			release()
			kept = a.Unlock() == nil
			<-owns
		}
		if err := b.Unlock(); err != nil {
			t.Error(err)
		}
		return kept || t.Failed()
	})
}

// The case that is left (see redisqueue.WithCrashDetection): the server is told that the
// connections have ended, and their owner is not, nor can it reach the server. Then two
// hold the lock until the first one's lease ends by its own clock. The tokens tell them
// apart.
func TestTwoHoldIfOnlyTheServerHearsOfTheEnd(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, grace, func(grace time.Duration) (kept bool) {
		server := redistest.StartServer(t)
		g := newGate(t, server.Addr)
		// A that gave up a connection would be refused a new one, and know before B owns.
		a, b, q := twoMutexes(t, server, g, grace, func(o *redis.Options) { o.ReadTimeout = time.Minute })
		armed(t, q, 1)
		owns := lockInBackground(t, b)
		armed(t, q, 2)
		g.swallow()
		<-owns
		select {
		case <-a.Lost():
			t.Log("the first was told: this case is gone, if it always is")
		default:
			kept = true
			if a.Token() >= b.Token() {
				t.Errorf("tokens %d and %d", a.Token(), b.Token())
			}
		}
		g.refuse()
		g.open()
		<-a.Lost()
		if err := b.Unlock(); err != nil {
			t.Error(err)
		}
		return kept
	})
}

// twoMutexes returns a Mutex that is held, through a gate, another one, and its queue.
func twoMutexes(t *testing.T, server *redistest.Server, g *gate, grace time.Duration, change ...func(*redis.Options)) (held, other *lock.Mutex, q queue.TicketQueue) {
	t.Helper()
	change = append(change, func(o *redis.Options) { o.MaxRetries = -1 })
	through := redistest.ClientOf(t, g.addr, change...)
	options := []redisqueue.Option{redisqueue.WithLease(longLease), redisqueue.WithCrashDetection(grace)}
	held = lock.New(redisqueue.New(through, "cut", options...), lock.WithReleaseTimeout(grace))
	q = redisqueue.New(server.Client(), "cut", options...)
	if err := held.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	return held, lock.New(q), q
}

// lockInBackground returns what is closed when m was locked.
func lockInBackground(t *testing.T, m *lock.Mutex) <-chan struct{} {
	owns := make(chan struct{})
	go func() {
		defer close(owns)
		if err := m.Lock(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	return owns
}

// Without the rights it needs, the queue works, and goes by the lease. Members says so.
func TestK30WithoutTheRights(t *testing.T) {
	for what, rights := range map[string][]any{
		"NUMSUB and INFO": {"-pubsub", "-info"},
		"NUMSUB":          {"-pubsub"},
		"INFO":            {"-info"},
		"HSET":            {"-hset"},
		"HGET":            {"-hget"},
		"HLEN":            {"-hlen"},
		"SUBSCRIBE":       {"-subscribe"},
		"channels":        {"resetchannels"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			server := redistest.StartServer(t)
			user := append([]any{"ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all"}, rights...)
			if err := server.Client().Do(t.Context(), user...).Err(); err != nil {
				t.Fatal(err)
			}
			client := server.Client(func(o *redis.Options) { o.Username, o.Password = "limited", "secret" })
			q := redisqueue.New(client, "limited", redisqueue.WithCrashDetection(grace))
			m := lock.New(q)
			for range 3 {
				err := m.Do(t.Context(), func(ctx context.Context) error {
					members, err := q.Members(ctx)
					if err != nil {
						return err
					}
					if m := members[0]; m.CrashDetection != 0 || !m.Unseen {
						t.Errorf("Members says %v, unseen %v; want that it does not work", m.CrashDetection, m.Unseen)
					}
					select {
					case <-time.After(2 * grace): // nothing is noticed, so nothing is lost
					case <-ctx.Done():
					}
					return context.Cause(ctx)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Without the right to clear its own mark a call says what is missing.
func TestWithoutTheRightToClear(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	faulttest.Do(t, server.Client(), "ACL SETUSER user on >secret ~* &* +@all -hdel")
	client := server.Client(func(o *redis.Options) { o.Username, o.Password = "user", "secret" })
	_, err := redisqueue.New(client, "clear", redisqueue.WithCrashDetection(grace)).Register(t.Context())
	if err == nil || !strings.Contains(err.Error(), "documentation") {
		t.Errorf("Register: %v; want what to do", err)
	}
}

// Processes with and without the option stand in one line. One without it goes by its
// lease.
func TestMixedLine(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 3*time.Second, func(lease time.Duration) bool {
		server := redistest.StartServer(t)
		h := harness.New(t, spec(server.Addr, "mixed"))
		plain := harness.With(harness.Redis(server.Addr, "mixed", lease))
		with, without, last := h.Start(), h.Start(plain), h.Start(plain)
		with.Lock().Granted()
		second, third := without.StandInLine(), last.StandInLine()
		q, closeQueue := spec(server.Addr, "mixed").Open()
		defer closeQueue()
		armed(t, q, 1)
		with.Kill()
		for second.IsBlockedFor(faulttest.Moment) {
			if !faulttest.Kept(h, 3) {
				return false // it may be behind the third now
			}
		}
		second.Granted()
		without.Kill()
		third.Granted()
		if !faulttest.Unlocked(t, last) {
			return false
		}
		h.Check()
		h.CheckNothingIsLeft()
		return true
	})
}

// A primary that is demoted, and its replica that takes its place, have not seen the
// owners before: no one is lost, and the end of a process is noticed again after that.
func TestFailoverIsNoDeath(t *testing.T) {
	t.Parallel()
	sentinel := redistest.StartSentinel(t)
	s := harness.Sentinel(sentinel.Addrs, redistest.SentinelName, "failover", longLease)
	s.Crash = longGrace
	h, a, b, call := holderAndWaiter(t, s)
	redistest.AwaitReplica(t, sentinel.Primary, sentinel.Replica)
	sentinel.Primary.Kill()
	sentinel.AwaitFailover()
	seenAnew(t, sentinel.Replica, s.Name, 2)
	goesOn(t, h, a, b, call)
}

// The server closes the connection for wake-ups alone, and its owner does not hear of it:
// the owner shows itself by a script, and keeps the lock.
//
//  1. A holds, 30 ms away from the server; another looks all the time.
//  2. The server's side of A's subscription is closed, just after a ping was answered.
//  3. A is never lost, and has a subscription again.
func TestOnlyTheSubscriptionEndsUnheard(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, grace, func(grace time.Duration) (kept bool) {
		server := redistest.StartServer(t)
		g := newGate(t, server.Addr)
		a, b, q := twoMutexes(t, server, g, grace)
		armed(t, q, 1)
		owns := lockInBackground(t, b)
		armed(t, q, 2)
		g.slow(30 * time.Millisecond)
		lost := a.Lost()
		kept = true
		for i := 0; i < 3 && kept; i++ {
			g.swallowSubscription()
			for began := time.Now(); time.Since(began) < 2*grace; time.Sleep(grace / 500) {
				if err := q.CleanupStale(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for again := false; kept && !again; time.Sleep(grace / 50) {
				select {
				case <-lost:
					kept = false
				default:
					again = isArmed(t, q, 2)
				}
			}
		}
		select {
		case <-owns:
			if kept {
				t.Error("two hold the lock")
			}
		default:
		}
		if err := a.Unlock(); kept && err != nil {
			t.Error(err)
		}
		<-owns
		if err := b.Unlock(); err != nil {
			t.Error(err)
		}
		return kept
	})
}

// What cannot work is refused, with the reason.
func TestRefused(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"0": "127.0.0.1:1"}})
	for _, c := range []interface{ Close() error }{client, cluster, ring} {
		t.Cleanup(func() { c.Close() })
	}
	const tooShort, tooLong, apart = "at least 500ms", "less than half the lease", "do not tell each other"
	for what, c := range map[string]struct {
		client redis.UniversalClient
		grace  time.Duration
		want   string
	}{
		"less than 500 ms":  {client, 499 * time.Millisecond, tooShort},
		"nothing":           {client, 0, tooShort},
		"half of the lease": {client, time.Second, tooLong},
		"a Cluster":         {cluster, 500 * time.Millisecond, apart},
		"a Ring":            {ring, 500 * time.Millisecond, apart},
		"a wrapped Cluster": {struct{ *redis.ClusterClient }{cluster}, 500 * time.Millisecond, apart},
		"a wrapped Ring":    {struct{ *redis.Ring }{ring}, 500 * time.Millisecond, apart},
	} {
		q := redisqueue.New(c.client, "x", redisqueue.WithLease(2*time.Second), redisqueue.WithCrashDetection(c.grace))
		_, err := q.Register(t.Context())
		if e := (*queue.Error)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want a *queue.Error with %q", what, err, c.want)
		}
	}
}
