package queuetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// tester is a queue under test.
type tester struct {
	*testing.T
	q queue.TicketQueue

	mu    sync.Mutex
	taken []queue.Ticket
}

// join registers, and has the ticket removed at the end of the test.
func (l *tester) join() (queue.Ticket, error) {
	t, err := l.q.Register(l.Context())
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.taken = append(l.taken, t)
	}
	return t, err
}

// clear removes the tickets that the test has left in line.
func (l *tester) clear() {
	ctx := context.WithoutCancel(l.Context())
	for _, t := range l.taken {
		if err := queue.Release(ctx, l.q, t); err != nil && !errors.Is(err, queue.ErrNotQueued) {
			l.Errorf("Release: %v", err)
		}
	}
}

func (l *tester) ok(what string, err error) {
	l.Helper()
	if err != nil {
		l.Fatalf("%s: %v", what, err)
	}
}

func (l *tester) register() queue.Ticket {
	l.Helper()
	t, err := l.join()
	l.ok("Register", err)
	return t
}

func (l *tester) remove(t queue.Ticket) {
	l.Helper()
	l.ok("Remove", l.q.Remove(l.Context(), t))
}

func (l *tester) wantHead(t queue.Ticket, want bool) {
	l.Helper()
	head, err := l.q.IsHead(l.Context(), t)
	if l.ok("IsHead", err); head != want {
		l.Errorf("IsHead of ticket %d is %v, want %v", t.Number, head, want)
	}
}

// wantAhead checks how many must leave before t owns, of a line in which all live. One that
// is no Positioner says only whether there are any.
func (l *tester) wantAhead(t queue.Ticket, want int) {
	l.Helper()
	if _, ok := l.q.(queue.Positioner); !ok {
		want = min(want, 1)
	}
	place, err := queue.Position(l.Context(), l.q, t)
	if l.ok("Position", err); place.Ahead != want {
		l.Errorf("Position of ticket %d is %d, want %d", t.Number, place.Ahead, want)
	}
}

func (l *tester) wantEmpty(want bool) {
	l.Helper()
	empty, err := l.q.IsEmpty(l.Context())
	if l.ok("IsEmpty", err); empty != want {
		l.Errorf("IsEmpty is %v, want %v", empty, want)
	}
}

func (l *tester) wantNotQueued(what string, err error) {
	l.Helper()
	if !errors.Is(err, queue.ErrNotQueued) {
		l.Errorf("%s returned %v, want ErrNotQueued", what, err)
	}
}

// wantEnded checks the error of a call whose ctx had ended before.
func (l *tester) wantEnded(ctx context.Context, what string, err error) {
	l.Helper()
	if !errors.Is(err, ctx.Err()) {
		l.Errorf("%s with a ctx that has ended returned %v, want %v", what, err, ctx.Err())
	}
}

// awaitEmpty waits until no ticket is in line, as soon as the dead have been evicted.
func (l *tester) awaitEmpty() {
	l.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(pollInterval) {
		l.ok("CleanupStale", l.q.CleanupStale(l.Context()))
		empty, err := l.q.IsEmpty(l.Context())
		if l.ok("IsEmpty", err); empty {
			return
		}
	}
	l.Fatal("a ticket of which no caller knows is in line")
}

// wantAscending registers n times, and calls between after each.
func (l *tester) wantAscending(n int, between func(queue.Ticket)) {
	l.Helper()
	last := int64(0)
	for range n {
		t := l.register()
		if t.Number <= last || t.Number >= 1<<53 {
			l.Fatalf("number %d was given out after %d", t.Number, last)
		}
		last = t.Number
		between(t)
	}
}
