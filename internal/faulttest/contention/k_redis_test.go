//go:build linux

package contention

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// pipeliner is a client that sends what comes at the same time together.
func pipeliner(t *testing.T, client *redis.Client) *redis.AutoPipeliner {
	t.Helper()
	p, err := client.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// A queue works with an AutoPipeliner as with the client itself: a hold that is
// lost is one.
func TestK09AutoPipelinerLost(t *testing.T) {
	p := faulttest.NewPaths(t)
	m := lock.New(redisqueue.New(pipeliner(t, p.Server.Client()), p.Name))
	faulttest.MustLock(t, m)
	p.Vanish(t, false)
	if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	faulttest.MustLock(t, m)
	waiting := faulttest.Lock(t.Context(), t, p.Mutex(p.Near, time.Minute))
	waiting.StaysBlocked("the first owns")
	faulttest.MustUnlock(t, m)
	waiting.Granted()
}

// It costs as many requests as with the client itself, and leaves nothing: alone,
// and with 64 goroutines.
func TestK09AutoPipelinerRequests(t *testing.T) {
	p := faulttest.NewPaths(t)
	requests := func(client redis.UniversalClient, goroutines, sections int) float64 {
		t.Helper()
		m := lock.New(redisqueue.New(client, p.Name))
		before := faulttest.ScriptCalls(t, p.Near)
		var all sync.WaitGroup
		for range goroutines {
			all.Go(func() {
				for range sections {
					if err := m.Lock(t.Context()); err != nil {
						t.Error(err)
						return
					}
					if err := m.Unlock(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		n := faulttest.ScriptCalls(t, p.Near) - before
		if keys := redistest.Keys(t, p.Near, p.Name); len(keys) > 0 {
			t.Errorf("left behind: %q", keys)
		}
		return float64(n) / float64(goroutines*sections)
	}
	for _, goroutines := range []int{1, 64} {
		plain := requests(p.Server.Client(), goroutines, 20)
		piped := requests(pipeliner(t, p.Server.Client()), goroutines, 20)
		t.Logf("%d goroutines: %.1f requests for each hold, %.1f through an AutoPipeliner", goroutines, plain, piped)
		if goroutines == 1 && piped != plain || piped > 3*plain {
			t.Errorf("%d goroutines: %.1f requests for each hold, and %.1f through an AutoPipeliner", goroutines, plain, piped)
		}
	}
}

// A thousand waiters of one process are cancelled at once, and the server says
// nothing. None of them waits until its ticket has been removed: it takes little
// longer than with tickets in memory, beyond the 100 ms within which a call is to
// return.
func TestK22ThousandCancelled(t *testing.T) {
	const waiters, rounds, limit = 1000, 3, 100 * time.Millisecond
	cancelled := func(holder, m *lock.Mutex, line queue.TicketQueue, silence func() (end func())) time.Duration {
		t.Helper()
		faulttest.MustLock(t, holder)
		ctx, cancel := context.WithCancel(t.Context())
		var calls []*faulttest.Locking
		for range waiters {
			calls = append(calls, faulttest.Lock(ctx, t, m))
		}
		faulttest.AwaitLine(t, line, 1+waiters)
		end := silence()
		defer end()
		began := time.Now()
		cancel()
		for _, call := range calls {
			if err := call.Returned(); !errors.Is(err, context.Canceled) {
				t.Errorf("Lock returned %v", err)
			}
		}
		took := time.Since(began)
		end()
		faulttest.MustUnlock(t, holder)
		faulttest.AwaitEmpty(t, line)
		return took
	}
	p := faulttest.NewPaths(t)
	line := redisqueue.New(p.Near, p.Name)
	memory := memqueue.New()
	inRedis, inMemory := time.Hour, time.Duration(0)
	for range rounds { // the quickest and the slowest: the machine may be busy with something else
		inRedis = min(inRedis, cancelled(p.Mutex(p.Near, time.Hour), p.Mutex(p.Far, time.Hour), line, p.Proxy.BlackHole))
		inMemory = max(inMemory, cancelled(lock.New(memory), lock.New(memory), memory, func() func() { return func() {} }))
	}
	t.Logf("%d calls have returned after %v; with tickets in memory after %v", waiters, inRedis, inMemory)
	if inRedis > limit+inMemory {
		t.Errorf("%d calls have returned after %v; want no more than %v and the %v in memory", waiters, inRedis, limit, inMemory)
	}
}
