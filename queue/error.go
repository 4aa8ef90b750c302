package queue

import (
	"errors"
	"fmt"
)

var (
	// ErrNotQueued is returned for a ticket that is not in line: it was removed,
	// or its owner was taken for dead and it was evicted, or the queue's storage
	// was lost. The ticket never comes back. A caller that still wants to wait
	// takes a new one.
	ErrNotQueued = errors.New("the ticket is not in line")

	// ErrClosed is returned by a queue that will never answer again, because
	// something that it needs was closed (the Redis client, say). A waiter gives
	// up at once. The ticket, if there is one, ends as that of a dead owner does.
	ErrClosed = errors.New("the queue was closed")
)

// Error is the error of every method of every queue of this module: which
// operation failed, on which queue, and why. It is made once, where the method
// returns; errors.Is and errors.As see through it.
type Error struct {
	Op    string // the operation, in words: "register", "release ticket 17"
	Queue string // the queue's name for itself: redis queue "report"
	Err   error  // the cause; never nil
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Queue, e.Op, e.Err) }

func (e *Error) Unwrap() error { return e.Err }
