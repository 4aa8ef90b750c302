package lock

import (
	"context"
	"errors"
	"slices"

	"github.com/fifolock/fifolock/queue"
)

var (
	// ErrLost is returned by Unlock and Release, and is the cause of the ctx of Do,
	// when the hold had ended before: the lease could not be renewed in time, the queue has
	// given the ticket up (crash detection), or it is gone from the queue. Another one may
	// have held the lock since. What was done under it must be checked or repeated.
	ErrLost = errors.New("the lock was lost before it was unlocked")

	// ErrNotLocked is returned by Unlock of a Mutex that is not locked, by Release of a Hold
	// that was released, and by Do, and is the cause of its ctx, when another call has ended
	// its hold. It is an error in the program.
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

	// errHeldBack is why a call whose ticket owned had to step back.
	errHeldBack = errors.New("an earlier hold of this Mutex was lost and is not unlocked yet")
)

// waitError is the error of an attempt that its ctx has ended: what there was to
// wait for.
type waitError struct {
	detail  string // after how long, and with what to wait for
	ended   error  // ctx.Err()
	cause   error  // ofCause(context.Cause(ctx)); nil if it is ended
	failure error  // what the queue said instead of an answer; nil if it answered
	busy    bool   // others were ahead, and the queue said so
}

func (e *waitError) Error() string {
	text := e.ended.Error() + " " + e.detail
	for _, err := range []error{e.failure, e.cause} {
		if err != nil {
			text += ": " + err.Error()
		}
	}
	return text
}

func (e *waitError) Is(target error) bool { return e.busy && target == ErrBusy }

func (e *waitError) Unwrap() []error {
	return slices.DeleteFunc([]error{e.ended, e.failure, e.cause}, func(err error) bool { return err == nil })
}

// maskedError is an error in which errors.Is does not find some: there they do not mean what
// they mean as an error of this package.
type maskedError struct {
	error
	masked []error
}

func (e *maskedError) Is(target error) bool {
	return !slices.Contains(e.masked, target) && errors.Is(e.error, target)
}

func (e *maskedError) As(target any) bool { return errors.As(e.error, target) }

var (
	// ofCtx say that a wait of the caller's has ended, and that it holds nothing.
	ofCtx = []error{context.Canceled, context.DeadlineExceeded}

	// ofContract say how it is with a lock.
	ofContract = append([]error{ErrBusy, ErrLost, ErrNotLocked, queue.ErrNotQueued, queue.ErrClosed}, ofCtx...)
)

// ofQueue is an error of a call that the caller's ctx has not ended: the release's own time
// is over, or the queue has a timeout of its own. The work of a Do that returns it is done.
func ofQueue(err error) error {
	if slices.ContainsFunc(ofCtx, func(ended error) bool { return errors.Is(err, ended) }) {
		return &maskedError{err, ofCtx}
	}
	return err
}

// ofCause is the caller's reason for ending its ctx. It may come from another lock, as in an
// errgroup or under Do.
func ofCause(err error) error { return &maskedError{err, ofContract} }
