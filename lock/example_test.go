package lock_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/queuetest"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// temporaryDirectory makes a directory for an example.
func temporaryDirectory() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "fifolock-example-")
	if err != nil {
		log.Fatal(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

// Between the processes of one machine, without a server: all that use the same
// directory use the same lock.
func Example() {
	dir, remove := temporaryDirectory() // /run/myapp/report, say
	defer remove()

	m := lock.New(filequeue.New(dir))
	if err := m.Lock(context.Background()); err != nil {
		log.Fatal(err)
	}
	defer m.Unlock()
	fmt.Println("working alone")
	// Output: working alone
}

// Between machines: all that use the same name on the same server use the same
// lock.
func Example_redis() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()

	m := lock.New(redisqueue.New(client, "report"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.Lock(ctx); err != nil {
		log.Fatal(err) // not our turn within a minute; we are out of the line again
	}
	fmt.Println("working alone")
	if err := m.Unlock(); err != nil {
		log.Fatal(err) // lock.ErrLost: another one may have been here, too
	}
}

// Mistakes in the arguments are told by the first call.
func ExampleNew() {
	m := lock.New(filequeue.New(""))
	fmt.Println(m.Lock(context.Background()) != nil)
	// Output: true
}

// A Mutex is shared by any number of goroutines, like a sync.Mutex.
func ExampleMutex() {
	dir, remove := temporaryDirectory()
	defer remove()

	m := lock.New(filequeue.New(dir))
	count := 0
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if err := m.Lock(context.Background()); err != nil {
				log.Print(err)
				return
			}
			defer m.Unlock()
			count++
		})
	}
	group.Wait()
	fmt.Println(count)
	// Output: 10
}

// A deadline ends the wait, and the ticket is out of the line again.
func ExampleMutex_Lock_deadline() {
	dir, remove := temporaryDirectory()
	defer remove()

	holder := lock.New(filequeue.New(dir))
	if err := holder.Lock(context.Background()); err != nil {
		log.Fatal(err)
	}
	defer holder.Unlock()

	m := lock.New(filequeue.New(dir))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := m.Lock(ctx)
	fmt.Println("not in time:", errors.Is(err, context.DeadlineExceeded))
	// Output: not in time: true
}

// TryLock is for what need not be done twice: if another one is at it, skip it.
func ExampleMutex_TryLock() {
	dir, remove := temporaryDirectory()
	defer remove()

	for _, host := range []string{"first host", "second host"} {
		m := lock.New(filequeue.New(dir))
		ok, err := m.TryLock(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		if !ok {
			fmt.Println(host, "skips the job")
			continue
		}
		defer m.Unlock()
		fmt.Println(host, "runs the job")
	}
	// Output:
	// first host runs the job
	// second host skips the job
}

// Unlock tells what became of the lock.
func ExampleMutex_Unlock() {
	dir, remove := temporaryDirectory()
	defer remove()

	m := lock.New(filequeue.New(dir))
	if err := m.Lock(context.Background()); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		switch err := m.Unlock(); {
		case err == nil:
			fmt.Println("released")
		case errors.Is(err, lock.ErrLost):
			fmt.Println("another one may have held it: check what was done")
		case errors.Is(err, lock.ErrNotLocked):
			fmt.Println("a mistake in the program: it was not locked")
		default:
			fmt.Println("the queue does not answer: the ticket lapses by itself")
		}
	}
	// Output:
	// released
	// a mistake in the program: it was not locked
}

// Do is the short form. It returns what went wrong, with the lock or with the
// work.
func ExampleMutex_Do() {
	dir, remove := temporaryDirectory()
	defer remove()

	m := lock.New(filequeue.New(dir))
	err := m.Do(context.Background(), func(ctx context.Context) error {
		fmt.Println("working")
		return errors.New("out of paper")
	})
	fmt.Println(err)
	// Output:
	// working
	// out of paper
}

// The ctx that Do gives to its function ends when the lock is lost: what obeys
// its ctx stops by itself.
func ExampleMutex_Do_lost() {
	dir, remove := temporaryDirectory()
	defer remove()

	m := lock.New(filequeue.New(dir, filequeue.WithStaleTimeout(time.Second)))
	err := m.Do(context.Background(), func(ctx context.Context) error {
		remove() // as good as a Redis server that has lost its data
		<-ctx.Done()
		fmt.Println("lost while working:", errors.Is(context.Cause(ctx), lock.ErrLost))
		return nil
	})
	fmt.Println("Do returns it, too:", errors.Is(err, lock.ErrLost))
	// Output:
	// lost while working: true
	// Do returns it, too: true
}

// Work that takes long under a lock should notice when it is gone.
func ExampleMutex_Lost() {
	dir, remove := temporaryDirectory()
	defer remove()

	m := lock.New(filequeue.New(dir, filequeue.WithStaleTimeout(time.Second)))
	if err := m.Lock(context.Background()); err != nil {
		log.Fatal(err)
	}
	remove() // as good as a Redis server that has lost its data

	for working := true; working; {
		select {
		case <-m.Lost():
			fmt.Println("stopped working: the lock is lost")
			working = false
		case <-time.After(10 * time.Millisecond):
			// a part of the work
		}
	}
	fmt.Println("lost:", errors.Is(m.Unlock(), lock.ErrLost))
	// Output:
	// stopped working: the lock is lost
	// lost: true
}

// Locker is for code that needs a sync.Locker, such as sync.Cond.
func ExampleMutex_Locker() {
	dir, remove := temporaryDirectory()
	defer remove()

	changed := sync.NewCond(lock.New(filequeue.New(dir)).Locker())
	var jobs []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		changed.L.Lock()
		defer changed.L.Unlock()
		for len(jobs) == 0 {
			changed.Wait() // the lock is free meanwhile
		}
		fmt.Println("working on", jobs[0])
	}()

	changed.L.Lock()
	jobs = append(jobs, "report")
	changed.L.Unlock()
	changed.Signal()
	<-done
	// Output: working on report
}

// The hooks say what a Mutex goes through: for logs and metrics, or to show the
// place in line to a user.
func ExampleTrace() {
	dir, remove := temporaryDirectory()
	defer remove()

	trace := &lock.Trace{
		Registered: func(t queue.Ticket) { fmt.Println("in line,", t.Ahead, "ahead") },
		Waiting:    func(t queue.Ticket, ahead int) { fmt.Println("now", ahead, "ahead") },
		Acquired: func(t queue.Ticket, waited time.Duration) {
			fmt.Println("acquired after less than 1 h:", waited < time.Hour)
		},
		HeartbeatFailed: func(t queue.Ticket, err error) { fmt.Println("heartbeat:", err) },
		Failed: func(t queue.Ticket, waited time.Duration, err error) {
			fmt.Println("not acquired:", err)
		},
		Lost:     func(t queue.Ticket, err error) { fmt.Println("lost:", err) },
		Released: func(t queue.Ticket, held time.Duration) { fmt.Println("released") },
		Evicted:  func(t queue.Ticket) { fmt.Println("the owner of another ticket has died") },
	}
	m := lock.New(filequeue.New(dir), lock.WithTrace(trace))
	if err := m.Lock(context.Background()); err != nil {
		log.Fatal(err)
	}
	if err := m.Unlock(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// in line, 0 ahead
	// acquired after less than 1 h: true
	// released
}

// A hook is the place to count.
func ExampleWithTrace() {
	dir, remove := temporaryDirectory()
	defer remove()

	held := 0
	m := lock.New(filequeue.New(dir), lock.WithTrace(&lock.Trace{
		Released: func(queue.Ticket, time.Duration) { held++ },
	}))
	for range 3 {
		if err := m.Do(context.Background(), func(context.Context) error { return nil }); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(held)
	// Output: 3
}

// At most two hold at a time, in the order in which they came.
func ExampleSemaphore() {
	q := memqueue.New() // redisqueue.New(client, "slow-service"), say
	s := lock.NewSemaphore(q, 2)

	first, err := s.Acquire(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	second, err := s.Acquire(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	_, ok, err := s.TryAcquire(context.Background())
	fmt.Println("a third at a time:", ok, err)

	fmt.Println(first.Release(), second.Release())
	fmt.Println("released before:", errors.Is(first.Release(), lock.ErrNotLocked))
	// Output:
	// a third at a time: false <nil>
	// <nil> <nil>
	// released before: true
}

// Do is the short form.
func ExampleSemaphore_Do() {
	s := lock.NewSemaphore(memqueue.New(), 3)
	err := s.Do(context.Background(), func(ctx context.Context, hold *lock.Hold) error {
		fmt.Println("calling the slow service") // with ctx, which ends when the hold is lost
		return nil
	})
	fmt.Println(err)
	// Output:
	// calling the slow service
	// <nil>
}

// A limit can be changed while it is in use: each process admits by its own.
func ExampleNewSemaphore() {
	q := memqueue.New()
	narrow, wide := lock.NewSemaphore(q, 1), lock.NewSemaphore(q, 2)

	hold, err := narrow.Acquire(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	_, ok, _ := narrow.TryAcquire(context.Background())
	fmt.Println("one more by the old limit:", ok)
	another, ok, _ := wide.TryAcquire(context.Background())
	fmt.Println("one more by the new limit:", ok)
	fmt.Println(another.Release(), hold.Release())
	// Output:
	// one more by the old limit: false
	// one more by the new limit: true
	// <nil> <nil>
}

// To wait for ten seconds at most, and then to work for as long as it takes.
func ExampleWithMaxWait() {
	dir, remove := temporaryDirectory()
	defer remove()

	m := lock.New(filequeue.New(dir), lock.WithMaxWait(10*time.Second))
	err := m.Do(context.Background(), func(ctx context.Context) error {
		_, limited := ctx.Deadline()
		fmt.Println("the work is limited:", limited)
		return nil
	})
	switch {
	case errors.Is(err, lock.ErrBusy):
		fmt.Println("another one is at it: try again later")
	case err != nil:
		fmt.Println("the server is away, or the work has failed:", err)
	}
	// Output: the work is limited: false
}

// With a backoff of one's own, a waiter that nothing wakes looks as often as it
// says. Most need none.
func ExampleWithBackOff() {
	dir, remove := temporaryDirectory()
	defer remove()

	m := lock.New(filequeue.New(dir), lock.WithBackOff(func() backoff.BackOff {
		return backoff.NewConstantBackOff(50 * time.Millisecond)
	}))
	fmt.Println(m.Do(context.Background(), func(context.Context) error { return nil }))
	// Output: <nil>
}

// A program that must end quickly need not wait for a server that is down.
func ExampleWithReleaseTimeout() {
	dir, remove := temporaryDirectory()
	defer remove()

	m := lock.New(filequeue.New(dir), lock.WithReleaseTimeout(2*time.Second))
	fmt.Println(m.Do(context.Background(), func(context.Context) error { return nil }))
	// Output: <nil>
}

// TestOwnQueue: the queue that the example shows is a right one.
func TestOwnQueue(t *testing.T) {
	queuetest.Run(t, func(*testing.T) queue.TicketQueue { return &ownQueue{} })
}
