//go:build linux

package harness

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// Kind is what happened.
type Kind string

const (
	Ready      Kind = "ready"      // the worker takes commands
	Called     Kind = "called"     // Lock or TryLock is about to be called
	Registered Kind = "registered" // the call has a ticket
	Granted    Kind = "granted"    // the call returned, and owns the lock
	Busy       Kind = "busy"       // TryLock returned false
	Cancelled  Kind = "cancelled"  // the call returned an error
	Met        Kind = "met"        // another owner was in the section
	Wrote      Kind = "wrote"      // a section has counted up, and the resource has answered
	Lost       Kind = "lost"       // the channel of Lost was closed
	Releasing  Kind = "releasing"  // Unlock is about to be called
	Released   Kind = "released"   // Unlock returned
	Done       Kind = "done"       // a command that takes long has ended
	Said       Kind = "said"       // a command of the test's own has something to say
)

// Cause is what an error means to the caller.
type Cause string

const (
	None         Cause = ""
	CauseLost    Cause = "lost"
	NotLocked    Cause = "not locked"
	Canceled     Cause = "canceled"
	DeadlinePast Cause = "deadline"
	NotQueued    Cause = "not queued"
	OtherCause   Cause = "other"
)

// Event is something that happened to a worker.
type Event struct {
	At     int64  `json:"at"` // CLOCK_MONOTONIC, in nanoseconds
	Kind   Kind   `json:"kind"`
	Call   int64  `json:"call,omitempty"`   // of the worker's calls of Lock
	Ticket int64  `json:"ticket,omitempty"` // the number
	Cause  Cause  `json:"cause,omitempty"`
	Error  string `json:"error,omitempty"`
	Other  int64  `json:"other,omitempty"` // Met: the ticket of the other
	Stale  bool   `json:"stale,omitempty"` // Wrote: the resource refused the token
	Text   string `json:"text,omitempty"`  // Said

	// Worker is the number of the worker; the parent fills it in.
	Worker int `json:"-"`
}

// Now is the time of CLOCK_MONOTONIC.
func Now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Linux has it
	}
	return t.Nano()
}

func causeOf(err error) Cause {
	switch {
	case err == nil:
		return None
	case errors.Is(err, lock.ErrLost):
		return CauseLost
	case errors.Is(err, lock.ErrNotLocked):
		return NotLocked
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlinePast
	case errors.Is(err, queue.ErrNotQueued):
		return NotQueued
	}
	return OtherCause
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
