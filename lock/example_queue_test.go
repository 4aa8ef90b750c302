package lock_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"sync"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// ownQueue is a queue for the goroutines of one process. Six methods are all
// that a queue must have; package queuetest checks whether they are right.
type ownQueue struct {
	mu   sync.Mutex
	last int64          // the last number given out
	line []queue.Ticket // a ticket may be compared with ==
}

// Register takes the next number and stands in line: one step, under the mutex.
func (q *ownQueue) Register(ctx context.Context) (queue.Ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return queue.Ticket{}, err
	}
	q.last++
	t := queue.Ticket{Number: q.last, Member: fmt.Sprint(q.last), Ahead: len(q.line)}
	q.line = append(q.line, t)
	return t, nil
}

func (q *ownQueue) IsHead(ctx context.Context, t queue.Ticket) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	i := slices.Index(q.line, t)
	if i < 0 {
		return false, queue.ErrNotQueued // an empty line is not its turn
	}
	return i == 0, nil
}

func (q *ownQueue) Remove(ctx context.Context, t queue.Ticket) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	i := slices.Index(q.line, t)
	if i < 0 {
		return queue.ErrNotQueued
	}
	q.line = slices.Delete(q.line, i, i+1)
	return nil
}

// CleanupStale has nothing to do: if an owner dies, so does the queue.
func (q *ownQueue) CleanupStale(ctx context.Context) error { return ctx.Err() }

func (q *ownQueue) IsEmpty(ctx context.Context) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.line) == 0, ctx.Err()
}

// MaybeCleanup keeps the last number, so that numbers never repeat.
func (q *ownQueue) MaybeCleanup(context.Context) {}

// A queue of one's own needs six methods, and package lock makes a fair mutex
// of it.
func Example_ownQueue() {
	m := lock.New(&ownQueue{})
	for range 2 {
		if err := m.Lock(context.Background()); err != nil {
			log.Fatal(err)
		}
		fmt.Println("token", m.Token())
		if err := m.Unlock(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// token 1
	// token 2
}
