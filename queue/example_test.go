package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// exampleDirectory makes a directory for an example.
func exampleDirectory() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "fifolock-example-")
	if err != nil {
		log.Fatal(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

// register takes a ticket for an example.
func register(q queue.TicketQueue) queue.Ticket {
	t, err := q.Register(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	return t
}

// A queue by itself, without package lock: the head is served.
func Example() {
	dir, remove := exampleDirectory()
	defer remove()
	ctx := context.Background()
	q := filequeue.New(dir)

	first, err := q.Register(ctx)
	if err != nil {
		log.Fatal(err)
	}
	second, err := q.Register(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(q.IsHead(ctx, first))
	fmt.Println(q.IsHead(ctx, second))

	if err := q.Remove(ctx, first); err != nil {
		log.Fatal(err)
	}
	fmt.Println(q.IsHead(ctx, second))

	if err := queue.Release(ctx, q, second); err != nil { // the last one cleans up
		log.Fatal(err)
	}
	fmt.Println(q.IsEmpty(ctx))
	// Output:
	// true <nil>
	// false <nil>
	// true <nil>
	// true <nil>
}

// The number of a ticket is its place in order, and a fencing token.
func ExampleTicket() {
	dir, remove := exampleDirectory()
	defer remove()
	q := filequeue.New(dir)

	first, second := register(q), register(q)
	fmt.Println("the later number is the greater:", second.Number > first.Number)
	fmt.Println("in line before the first and the second:", first.Ahead, second.Ahead)
	// Output:
	// the later number is the greater: true
	// in line before the first and the second: 0 1
}

// A ticket that is gone is not in line, not even in an empty one. A caller that still
// wants to wait takes a new one.
func ExampleTicketQueue() {
	dir, remove := exampleDirectory()
	defer remove()
	ctx := context.Background()
	var q queue.TicketQueue = filequeue.New(dir)

	t := register(q)
	fmt.Println(q.Remove(ctx, t))
	_, err := q.IsHead(ctx, t)
	fmt.Println(errors.Is(err, queue.ErrNotQueued))
	fmt.Println(errors.Is(q.Remove(ctx, t), queue.ErrNotQueued))
	q.MaybeCleanup(ctx)
	fmt.Println(q.IsEmpty(ctx))
	// Output:
	// <nil>
	// true
	// true
	// true <nil>
}

// TryRegister joins an empty line, or none.
func ExampleTryRegister() {
	dir, remove := exampleDirectory()
	defer remove()
	ctx := context.Background()
	q := filequeue.New(dir)

	for range 2 {
		_, ok, err := queue.TryRegister(ctx, q)
		fmt.Println(ok, err)
	}
	// Output:
	// true <nil>
	// false <nil>
}

// Release is what the head does when it has been served: the next one is told.
func ExampleRelease() {
	dir, remove := exampleDirectory()
	defer remove()
	ctx := context.Background()
	q := filequeue.New(dir)

	first, second := register(q), register(q)
	fmt.Println(queue.Release(ctx, q, first))
	fmt.Println(q.IsHead(ctx, second))
	fmt.Println(errors.Is(queue.Release(ctx, q, first), queue.ErrNotQueued)) // once is enough
	// Output:
	// <nil>
	// true <nil>
	// true
}

// The owner of a ticket with a lease shows, every third of it, to be alive. Package lock
// does so by itself.
func ExampleRefresh() {
	dir, remove := exampleDirectory()
	defer remove()
	ctx := context.Background()
	q := filequeue.New(dir, filequeue.WithStaleTimeout(30*time.Second))

	t := register(q)
	done := make(chan struct{})
	go func() {
		defer close(done) // the work
	}()
	heartbeat := time.NewTicker(t.Lease / 3)
	defer heartbeat.Stop()
	for working := true; working; {
		select {
		case <-heartbeat.C:
			if err := queue.Refresh(ctx, q, t); errors.Is(err, queue.ErrNotQueued) {
				log.Fatal("somebody else may be the head by now")
			}
		case <-done:
			working = false
		}
	}
	fmt.Println(queue.Release(ctx, q, t))
	// Output: <nil>
}

// Position says how many are in front.
func ExamplePosition() {
	dir, remove := exampleDirectory()
	defer remove()
	ctx := context.Background()
	q := filequeue.New(dir)

	first, _, third := register(q), register(q), register(q)
	for _, t := range []queue.Ticket{first, third} {
		place, err := queue.Position(ctx, q, t)
		fmt.Println(place.Ahead, err)
	}
	// Output:
	// 0 <nil>
	// 2 <nil>
}

// To wait for one's turn: listen, then look, then wait for a hint, or for the
// next time to look if none comes.
func ExampleWatch() {
	dir, remove := exampleDirectory()
	defer remove()
	ctx := context.Background()
	q := filequeue.New(dir)

	first, second := register(q), register(q)
	go queue.Release(ctx, q, first)

	wake, stop, err := queue.Watch(ctx, q, second)
	if err != nil {
		log.Print("looking alone must do: ", err) // wake is nil, and never ready
	}
	defer stop()
	for {
		place, err := queue.Position(ctx, q, second)
		if err != nil {
			log.Fatal(err)
		}
		if place.Ahead == 0 {
			break
		}
		select {
		case <-wake:
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
	fmt.Println("my turn")
	fmt.Println(queue.Release(ctx, q, second))
	// Output:
	// my turn
	// <nil>
}

// Members shows the tickets in line, and disturbs none of them.
func ExampleMembers() {
	dir, remove := exampleDirectory()
	defer remove()
	q := filequeue.New(dir)

	first := register(q)
	register(q)
	members, err := queue.Members(context.Background(), q)
	if err != nil {
		log.Fatal(err)
	}
	for place, m := range members {
		fmt.Println("place", place+1, "is mine:", m.PID == os.Getpid(), "looks dead:", m.Dead)
	}
	fmt.Println("the first holds it:", members[0].Ticket == first)
	// Output:
	// place 1 is mine: true looks dead: false
	// place 2 is mine: true looks dead: false
	// the first holds it: true
}

// A caller that wants to know which tickets a call has found dead, and evicted, says so
// in its ctx. Package lock has the hook Evicted for it.
func ExampleOnEvicted() {
	dir, remove := exampleDirectory()
	defer remove()
	ctx := queue.OnEvicted(context.Background(), func(tickets []queue.Ticket) {
		fmt.Println("evicted:", len(tickets))
	})
	q := filequeue.New(dir, filequeue.WithStaleTimeout(10*time.Millisecond))

	register(q) // and never heard of again
	time.Sleep(50 * time.Millisecond)
	t, err := q.Register(ctx)
	fmt.Println("ahead:", t.Ahead, err)
	// Output:
	// evicted: 1
	// ahead: 0 <nil>
}
