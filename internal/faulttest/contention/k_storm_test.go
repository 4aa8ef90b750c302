//go:build linux

package contention

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// gust is how long a storm lasts without a budget.
const gust = 3 * time.Second

// section notices more than one in it, tokens that go back, and a lock that stands
// still.
type section struct {
	t      *testing.T
	random *rand.Rand
	inside atomic.Int32
	token  atomic.Int64 // of the last that was in it
	passed atomic.Int64
}

func (s *section) pass(m *lock.Mutex) {
	if n := s.inside.Add(1); n != 1 {
		s.t.Errorf("%d are in the section, one of them with token %d", n, m.Token())
	}
	token := m.Token()
	if last := s.token.Swap(token); last >= token {
		s.t.Errorf("token %d comes after %d", token, last)
	}
	if s.random.IntN(4) == 0 {
		time.Sleep(harness.Below(s.random, 300*time.Microsecond))
	}
	s.passed.Add(1)
	s.inside.Add(-1)
}

// faults are what the network and the server do to requests of the lock.
func faults(ctx context.Context, p *redistest.Proxy, direct *redis.Client, keys string, random *rand.Rand) {
	for ctx.Err() == nil {
		n := 1 + random.IntN(2)
		switch random.IntN(9) {
		case 0, 1:
			p.LoseReplies(keys, n)
		case 2:
			p.LoseRequests(keys, n)
		case 3, 4:
			_, let := p.DelayRequests(keys, n)
			time.AfterFunc(harness.Below(random, 20*time.Millisecond), let)
		case 5:
			_, let := p.DelayReplies("fifolock:")
			time.AfterFunc(harness.Below(random, 20*time.Millisecond), let)
		case 6:
			heal := p.BlackHole()
			time.Sleep(harness.Below(random, 10*time.Millisecond))
			heal()
		case 7:
			p.Cut()
		case 8:
			_ = direct.ScriptFlush(ctx).Err()
		}
		time.Sleep(harness.Below(random, 60*time.Millisecond))
	}
}

// awaitMoving waits until all have returned, and fails the test if they stand still:
// for longer than requests that are sent again may take, and less than a lease.
func awaitMoving(t *testing.T, p *faulttest.Paths, all *sync.WaitGroup, passed *atomic.Int64) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		all.Wait()
	}()
	for before, still := int64(-1), 0; ; still++ {
		select {
		case <-ended:
			return
		case <-time.After(time.Second):
		}
		if now := passed.Load(); now != before {
			before, still = now, 0
		}
		if still == 30 {
			members, err := redisqueue.New(p.Near, p.Name).Members(t.Context())
			t.Fatalf("it has stood still for %d s, after %d, with %d in line: %+v, %v", still, before, len(members), members[:min(5, len(members))], err)
		}
	}
}

// Requests and replies are lost, delayed, and repeated at random, while many call
// Lock, give up, and try. No lease runs out and no data is lost: never two, tokens
// ascend, no hold is lost, and nothing that is left in line holds up the others.
func TestK01StormOfRequests(t *testing.T) { stormOfRequests(t, gust) }

func TestK01StormOfRequestsTorture(t *testing.T) { stormOfRequests(t, harness.Torture(t)) }

func stormOfRequests(t *testing.T, budget time.Duration) {
	p := faulttest.NewPaths(t)
	random := harness.Random(t)
	var mutexes []*lock.Mutex
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	defer cancel()
	var network sync.WaitGroup
	for range 2 {
		proxy := redistest.NewProxy(t, p.Server.Addr)
		client := redistest.ClientOf(t, proxy.Addr)
		for range 2 {
			mutexes = append(mutexes, p.Mutex(client, time.Minute, lock.WithReleaseTimeout(time.Minute)))
		}
		network.Go(func() { faults(ctx, proxy, p.Near, p.Keys, random) })
	}
	mutexes = append(mutexes, p.Mutex(p.Near, time.Minute))
	s := &section{t: t, random: random}
	var all sync.WaitGroup
	for _, m := range mutexes {
		for range 4 {
			all.Go(func() {
				for ctx.Err() == nil {
					s.once(ctx, m)
				}
			})
		}
	}
	awaitMoving(t, p, &all, &s.passed)
	network.Wait()
	if s.passed.Load() == 0 {
		t.Error("the section was never held")
	}
	t.Logf("%d sections", s.passed.Load())
	deadline := time.Now().Add(faulttest.Long)
	for p.InUse(t) {
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %q", redistest.Keys(t, p.Near, p.Name))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *section) once(ctx context.Context, m *lock.Mutex) {
	var err error
	ok := true
	switch s.random.IntN(8) {
	case 0:
		ok, err = m.TryLock(context.Background())
	case 1, 2:
		short, cancel := context.WithTimeout(ctx, harness.Below(s.random, 20*time.Millisecond))
		err = m.Lock(short)
		cancel()
	default:
		err = m.Lock(ctx)
	}
	switch {
	case err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
		s.t.Logf("failed: %v", err) // its request was lost too often
	case err == nil && ok:
		s.pass(m)
		if err := m.Unlock(); err != nil {
			s.t.Errorf("Unlock returned %v", err)
		}
	}
}

// stay is a time in the section, of a hold of which Unlock said that it had not been
// lost.
type stay struct {
	from, to time.Time
	token    int64
}

// All data vanishes, again and again, while requests and messages are slow. Two may
// be in the section for a moment then; but no more than one of them is told that its
// hold was good, and the tokens of those ascend. And it goes on: a call that comes
// afterwards gets the lock when the leases of the tickets that were left are over.
func TestK02StormOfVanishingData(t *testing.T) {
	faulttest.InTheEnd(t, func() (quick bool) { return stormOfVanishingData(t, gust) })
}

func TestK02StormOfVanishingDataTorture(t *testing.T) {
	budget := harness.Torture(t)
	faulttest.InTheEnd(t, func() (quick bool) { return stormOfVanishingData(t, budget) })
}

func stormOfVanishingData(t *testing.T, budget time.Duration) (quick bool) {
	const lease = 2 * time.Second
	p := faulttest.NewPaths(t)
	random := harness.Random(t)
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	defer cancel()
	var mu sync.Mutex
	var stays []stay
	var lost, overlaps int
	var inside atomic.Int32
	enter := func(m *lock.Mutex) {
		if inside.Add(1) > 1 {
			mu.Lock()
			overlaps++
			mu.Unlock()
		}
		s := stay{from: time.Now(), token: m.Token()}
		time.Sleep(harness.Below(random, 300*time.Microsecond))
		s.to = time.Now()
		inside.Add(-1)
		switch err := m.Unlock(); {
		case err == nil:
			mu.Lock()
			stays = append(stays, s)
			mu.Unlock()
		case errors.Is(err, lock.ErrLost):
			mu.Lock()
			lost++
			mu.Unlock()
		default:
			t.Errorf("Unlock returned %v", err)
		}
	}
	var all sync.WaitGroup
	for i := range 3 {
		client := p.Near
		if i > 0 {
			proxy := redistest.NewProxy(t, p.Server.Addr)
			client = redistest.ClientOf(t, proxy.Addr, func(o *redis.Options) { o.ReadTimeout = time.Minute })
			all.Go(func() {
				for ctx.Err() == nil {
					_, let := proxy.DelayRequests(p.Keys, 1+random.IntN(3))
					time.AfterFunc(harness.Below(random, 30*time.Millisecond), let)
					_, tell := proxy.DelayReplies("fifolock:")
					time.AfterFunc(harness.Below(random, 30*time.Millisecond), tell)
					time.Sleep(harness.Below(random, 30*time.Millisecond))
				}
			})
		}
		m := p.Mutex(client, lease)
		for range 6 {
			all.Go(func() {
				for ctx.Err() == nil {
					if err := m.Lock(ctx); err == nil {
						enter(m)
					} else if ctx.Err() == nil {
						t.Errorf("Lock returned %v", err)
					}
				}
			})
		}
	}
	all.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			time.Sleep(harness.Below(random, 100*time.Millisecond))
			for _, key := range redistest.Keys(t, p.Near, p.Name) {
				if n%2 == 0 || random.IntN(2) == 0 {
					p.Near.Del(ctx, key)
				}
			}
		}
	})
	all.Wait()
	slices.SortFunc(stays, func(a, b stay) int { return a.from.Compare(b.from) })
	for i, s := range stays[min(1, len(stays)):] {
		before := stays[i]
		if s.from.Before(before.to) {
			t.Errorf("two were in the section and were told that all was well: token %d, and %v before it left token %d", before.token, before.to.Sub(s.from), s.token)
		}
		if s.token <= before.token {
			t.Errorf("token %d comes after %d", s.token, before.token)
		}
	}
	t.Logf("%d holds, %d of them lost; %d met another one", len(stays)+lost, lost, overlaps)
	if len(stays)+lost == 0 {
		t.Error("the section was never held")
	}
	began := time.Now()
	m := p.Mutex(p.Near, lease)
	faulttest.MustLock(t, m)
	faulttest.MustUnlock(t, m)
	return time.Since(began) <= 3*lease+faulttest.Soon
}

// The same for a Semaphore: never one more than its permits, while others that hold
// and wait die in between.
func TestStormOfPermits(t *testing.T) { stormOfPermits(t, gust) }

func TestStormOfPermitsTorture(t *testing.T) { stormOfPermits(t, harness.Torture(t)) }

func stormOfPermits(t *testing.T, budget time.Duration) {
	const permits = 3
	p := faulttest.NewPaths(t)
	random := harness.Random(t)
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	defer cancel()
	var all sync.WaitGroup
	var inside, most atomic.Int32
	var passed atomic.Int64
	hold := func(h *lock.Hold) {
		n := inside.Add(1)
		if n > permits {
			t.Errorf("%d hold %d permits", n, permits)
		}
		most.Store(max(most.Load(), n))
		time.Sleep(harness.Below(random, 500*time.Microsecond))
		passed.Add(1)
		inside.Add(-1)
		if err := h.Release(); err != nil {
			t.Errorf("Release returned %v", err)
		}
	}
	for i := range 3 {
		client := p.Near
		if i > 0 {
			proxy := redistest.NewProxy(t, p.Server.Addr)
			client = redistest.ClientOf(t, proxy.Addr)
			all.Go(func() { faults(ctx, proxy, p.Near, p.Keys, random) })
		}
		s := lock.NewSemaphore(redisqueue.New(client, p.Name, redisqueue.WithLease(time.Minute)), permits)
		for range 6 {
			all.Go(func() {
				for ctx.Err() == nil {
					var h *lock.Hold
					var err error
					switch random.IntN(8) {
					case 0:
						h, _, err = s.TryAcquire(context.Background())
					case 1, 2:
						short, cancel := context.WithTimeout(ctx, harness.Below(random, 20*time.Millisecond))
						h, err = s.Acquire(short)
						cancel()
					default:
						h, err = s.Acquire(ctx)
					}
					if err == nil && h != nil {
						hold(h)
					}
				}
			})
		}
	}
	all.Go(func() { // these die
		dying := redisqueue.New(p.Near, p.Name, redisqueue.WithLease(30*time.Millisecond)).Share(permits)
		for ctx.Err() == nil {
			for range random.IntN(4) {
				_, _ = dying.Register(ctx)
			}
			time.Sleep(harness.Below(random, 100*time.Millisecond))
		}
	})
	awaitMoving(t, p, &all, &passed)
	t.Logf("%d holds, at most %d at a time", passed.Load(), most.Load())
	if passed.Load() == 0 {
		t.Error("no permit was ever held")
	}
	// All permits are free again.
	after, end := context.WithTimeout(t.Context(), faulttest.Long)
	defer end()
	s := lock.NewSemaphore(redisqueue.New(p.Near, p.Name, redisqueue.WithLease(time.Minute)), permits)
	for i := range permits {
		h, err := s.Acquire(after)
		if err != nil {
			t.Fatalf("when all have gone, permit %d of %d is not free: %v", i+1, permits, err)
		}
		defer h.Release()
	}
}
