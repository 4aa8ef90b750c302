package lock

import "errors"

var (
	// ErrLost is returned by Unlock and Release, and is the cause of the ctx of Do,
	// when the hold had ended before: the lease could not be renewed in time, the queue has
	// given the ticket up (crash detection), or it is gone from the queue. Another one may
	// have held the lock since. What was done under it must be checked or repeated.
	ErrLost = errors.New("the lock was lost before it was unlocked")

	// ErrNotLocked is returned by Unlock of a Mutex that is not locked, and by
	// Release of a Hold that was released. It is an error in the program.
	ErrNotLocked = errors.New("the lock is not held: every Unlock or Release needs one Lock or Acquire that succeeded")

	// ErrBusy is satisfied by the error of a Lock or Acquire that its ctx or WithMaxWait
	// has ended while others were ahead in line, or while a lost hold of the same Mutex was
	// not unlocked yet. So is ctx.Err(), or context.DeadlineExceeded after WithMaxWait.
	// It is not if the queue did not answer when it was last asked (WithBackOff says how
	// often it is): so a program can tell a lock that is taken from a server that is away.
	// The cause of the ctx is found by errors.Is as well, but
	// not where it is an error of this package, of queue or of context: it may be that of
	// another lock.
	ErrBusy = errors.New("the lock is busy: others were ahead in line")

	errCopied         = errors.New("the Mutex was copied after New: share the pointer that New returned")
	errNoNew          = errors.New("the Mutex was not made by New: use the pointer that New returns")
	errNoNewSemaphore = errors.New("the Semaphore was not made by NewSemaphore: use the pointer that NewSemaphore returns")
	errNil            = errors.New("a nil queue was given: give one that New of a queue's package returns")
	errNilCtx         = errors.New("the ctx is nil: give the caller's, or context.Background()")
	errNilFunction    = errors.New("a nil function was given: give one that does the work")

	errNoAnswer = errors.New("the queue's call has ended its goroutine (runtime.Goexit) and gave no answer")

	// errHeldBack is what a call has waited for that owned already.
	errHeldBack = errors.New("an earlier hold of this Mutex was lost and is not unlocked yet")
)
