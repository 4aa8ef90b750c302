//go:build linux

package call

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// A TryLock never stands in the way of the waiters, and leaves nothing.
func TestA09TryLockBesideWaiters(t *testing.T) {
	t.Parallel()
	faulttest.OnBoth(t, faulttest.LongLease, func(t *testing.T, spec harness.Spec) {
		const waiters, triers, rounds = 5, 30, 20
		m, q := faulttest.Mutex(t, spec)
		other, _ := faulttest.Mutex(t, spec)
		ctx, cancel := context.WithCancel(t.Context())
		var trying, waiting sync.WaitGroup
		var mu sync.Mutex
		got := 0
		for i := range triers {
			m := []*lock.Mutex{m, other}[i%2]
			trying.Go(func() {
				for ctx.Err() == nil {
					ok, err := m.TryLock(ctx)
					if err != nil && ctx.Err() == nil {
						t.Error(err)
						return
					}
					if ok {
						mu.Lock()
						got++
						mu.Unlock()
						if err := m.Unlock(); err != nil {
							t.Error(err)
						}
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		for i := range waiters {
			m := []*lock.Mutex{m, other}[i%2]
			waiting.Go(func() {
				for range rounds {
					if err := m.Lock(context.Background()); err != nil {
						t.Error(err)
						return
					}
					members, err := queue.Members(context.Background(), q)
					if err != nil || len(members) > waiters {
						t.Errorf("%d are in line, want %d at most: %v", len(members), waiters, err)
					}
					if err := m.Unlock(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		waiting.Wait() // no waiter is starved
		cancel()
		trying.Wait()
		t.Logf("TryLock succeeded %d times", got)
		faulttest.AwaitEmpty(t, q)
	})
}

// After a thousand of each nothing is left: no goroutine, no file descriptor.
func TestA14NothingPilesUp(t *testing.T) {
	faulttest.OnBoth(t, faulttest.LongLease, func(t *testing.T, spec harness.Spec) {
		const times = 1000
		m, q := faulttest.Mutex(t, spec)
		holder, _ := faulttest.Mutex(t, spec)
		warmUp := func(n int) {
			for range n {
				faulttest.MustLock(t, m)
				faulttest.MustUnlock(t, m)
				faulttest.MustLock(t, holder)
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Microsecond)
				if err := m.Lock(ctx); err == nil {
					t.Fatal("locked twice")
				}
				cancel()
				faulttest.MustUnlock(t, holder)
			}
		}
		warmUp(10)
		goroutines, files := runtime.NumGoroutine(), openFiles(t)
		warmUp(times)
		faulttest.AwaitEmpty(t, q)
		awaitNoMore(t, goroutines, files)
	})
}

// A thousand times a Lock fails, because the server is not there.
func TestA14NothingPilesUpWithoutServer(t *testing.T) {
	server := redistest.StartServer(t)
	client := server.Client(func(o *redis.Options) { o.MaxRetries, o.DialerRetries = -1, 1 })
	m := lock.New(redisqueue.New(client, "away"))
	faulttest.MustLock(t, m)
	faulttest.MustUnlock(t, m)
	server.Kill()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 1000 {
		if m.Lock(t.Context()) == nil {
			t.Fatal("locked without a server")
		}
	}
	awaitNoMore(t, goroutines, files)
}

// awaitNoMore waits until there are no more goroutines and open files than before, but
// for a few: what goes on in the background comes to an end.
func awaitNoMore(t *testing.T, goroutines, files int) {
	t.Helper()
	for deadline := time.Now().Add(faulttest.Long); runtime.NumGoroutine() > goroutines+3 || openFiles(t) > files+3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines and %d files, before it were %d and %d",
				runtime.NumGoroutine(), openFiles(t), goroutines, files)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Many names in one process: neither connections nor goroutines grow with the
// queues without a waiter.
func TestA16ManyNames(t *testing.T) {
	redistest.NeedReal(t)
	const names = 2000
	client := redistest.Client(t)
	prefix := redistest.Name(t)
	dir := t.TempDir()
	for kind, newQueue := range map[string]func(i int) queue.TicketQueue{
		"redis": func(i int) queue.TicketQueue { return redisqueue.New(client, fmt.Sprint(prefix, i)) },
		"file":  func(i int) queue.TicketQueue { return filequeue.New(filepath.Join(dir, fmt.Sprint(i))) },
	} {
		t.Run(kind, func(t *testing.T) {
			if kind == "file" && 4*names > fileLimit(t) {
				t.Skipf("needs files for each ticket that is held: raise the limit, ulimit -n %d", 4*names)
			}
			goroutines, before := runtime.NumGoroutine(), allocated()
			held := make([]*lock.Mutex, names)
			for i := range held {
				held[i] = lock.New(newQueue(i))
				faulttest.MustLock(t, held[i])
			}
			if n := runtime.NumGoroutine(); n > goroutines+20 {
				t.Errorf("%d locks have %d goroutines", names, n-goroutines)
			}
			each := (allocated() - before) / names
			t.Logf("%d bytes for each lock that is held", each)
			if each > 20<<10 {
				t.Errorf("%d bytes for each lock that is held", each)
			}
			for _, m := range held {
				faulttest.MustUnlock(t, m)
			}
		})
	}
}

// fileLimit is how many files this process may have open.
func fileLimit(t *testing.T) int {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	return int(min(l.Cur, 1<<30))
}

func allocated() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// A Mutex that has lost its hold works again, with another token and another channel.
func TestA07UseAfterLoss(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client()
	m := lock.New(redisqueue.New(client, "again", redisqueue.WithLease(2*time.Second)))
	faulttest.MustLock(t, m)
	token, lost := m.Token(), m.Lost()
	faulttest.Do(t, client, "FLUSHALL")
	<-lost
	if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	faulttest.MustLock(t, m)
	if m.Token() <= token {
		t.Errorf("token %d after %d", m.Token(), token)
	}
	if m.Lost() == lost {
		t.Error("the channel of the hold that was lost is that of the new one")
	}
	faulttest.MustUnlock(t, m)
}

// Only the holder is told that the lock is lost, and once; waiters line up
// again or get an error.
func TestA11LossIsToldOnce(t *testing.T) {
	t.Parallel()
	const lease, waiters = faulttest.LongLease, 10
	server := redistest.StartServer(t)
	var mu sync.Mutex
	var told []int64
	client := server.Client()
	m := lock.New(redisqueue.New(client, "told", redisqueue.WithLease(lease)), lock.WithTrace(&lock.Trace{
		Lost: func(t queue.Ticket, _ error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, t.Number)
		},
	}))
	faulttest.MustLock(t, m)
	token := m.Token()
	results := make(chan error, waiters)
	for range waiters {
		go func() { results <- m.Lock(t.Context()) }()
	}
	faulttest.AwaitLine(t, redisqueue.New(client, "told"), 1+waiters)
	server.Kill()
	<-m.Lost()
	if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	for range waiters {
		if err := <-results; err == nil {
			t.Error("locked without a server")
		} else if !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("a waiter was told %v", err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 1 || told[0] != token {
		t.Errorf("told of the loss of %v, want [%d]", told, token)
	}
}

// Unlock and the loss of the lock meet: one of nil and ErrLost, and the queue is
// as it says.
func TestA13UnlockMeetsLoss(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	const times = 200
	random := harness.Random(t)
	client := redistest.Client(t)
	q := redisqueue.New(client, redistest.Name(t))
	m := lock.New(q)
	released, lost := 0, 0
	for range times {
		faulttest.MustLock(t, m)
		members, err := queue.Members(t.Context(), q)
		if err != nil || len(members) != 1 {
			t.Fatalf("%v, %v", members, err)
		}
		evicted := make(chan error, 1)
		go func() {
			time.Sleep(harness.Below(random, 200*time.Microsecond))
			evicted <- q.Remove(context.Background(), members[0].Ticket)
		}()
		time.Sleep(harness.Below(random, 200*time.Microsecond))
		unlocked, removed := m.Unlock(), <-evicted
		switch {
		case unlocked == nil && errors.Is(removed, queue.ErrNotQueued):
			released++
		case errors.Is(unlocked, lock.ErrLost) && removed == nil:
			lost++
		default:
			t.Fatalf("Unlock returned %v, and the one that took the ticket away got %v", unlocked, removed)
		}
	}
	t.Logf("%d were released, %d lost", released, lost)
}
