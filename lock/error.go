package lock

import "errors"

var (
	// ErrLost is returned by Unlock, and is the cause of the ctx of Do, when the
	// hold had ended before: the lease could not be renewed in time, or the ticket
	// is gone from the queue. Another one may have held the lock since. What was
	// done under it must be checked or repeated.
	ErrLost = errors.New("the lock was lost before it was unlocked")

	// ErrNotLocked is returned by Unlock of a Mutex that is not locked. It is an
	// error in the program.
	ErrNotLocked = errors.New("the lock is not held: every Unlock needs one Lock or TryLock that succeeded")

	errCopied      = errors.New("the Mutex was copied after New: share the pointer that New returned")
	errNoNew       = errors.New("the Mutex was not made by New: use the pointer that New returns")
	errNil         = errors.New("New was given a nil queue")
	errNilCtx      = errors.New("the ctx is nil: give the caller's, or context.Background()")
	errNilFunction = errors.New("do: a nil function was given: give one that does the work")

	// errHeldBack is what a call has waited for that owned already.
	errHeldBack = errors.New("an earlier hold of this Mutex was lost and is not unlocked yet")
)
