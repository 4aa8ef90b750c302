package lock

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/fifolock/fifolock/queue"
)

// base is what a Mutex and a Semaphore have in common: whose line it is, and what
// was wrong with the arguments.
type base struct {
	queue   queue.TicketQueue
	name    string // of the queue, for errors
	owners  int    // how many own at a time
	options options
	err     error // what was wrong with the arguments; nil if nothing was
}

func newBase(q queue.TicketQueue, opts []Option) *base {
	b := &base{queue: q, name: nameOf(q), owners: 1}
	b.options, b.err = newOptions(opts)
	if isNil(q) {
		b.err = errNil
	}
	return b
}

// nameOf says which lock it is, in the words of the queue.
func nameOf(q queue.TicketQueue) string {
	if isNil(q) {
		return "nil queue"
	}
	if s, ok := q.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", q)
}

func isNil(q queue.TicketQueue) bool {
	if q == nil {
		return true
	}
	v := reflect.ValueOf(q)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// acquire waits for a turn: it returns a claim that owns, or leaves none behind.
// A ticket that is evicted while it waits is replaced by a new one.
func (b *base) acquire(a *attempt) (*claim, error) {
	var again *pollInterval
	for {
		c, err := b.register(a.ctx)
		if err != nil {
			return nil, err
		}
		err = a.await(c, c.ticket.Ahead == 0)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, queue.ErrNotQueued) {
			return nil, err
		}
		a.replaced(err)
		// A queue that evicts all at once must not be a busy loop.
		if again == nil {
			again = b.newPollInterval(c.ticket.Lease)
		}
		if err := sleep(a.ctx, again.pause()); err != nil {
			return nil, err
		}
	}
}

// tryAcquire returns a claim that owns at once, or nil if there is none.
func (b *base) tryAcquire(a *attempt) (*claim, error) {
	c, err := b.tryRegister(a.ctx)
	if c == nil || err != nil {
		return nil, err
	}
	err = a.await(c, true)
	if errors.Is(err, queue.ErrNotQueued) { // a lease that ran out while the process was stopped
		a.replaced(err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// forRelease is the ctx for releasing a ticket: that of the call that took it may
// have ended.
func (b *base) forRelease() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.options.traces.observe(context.Background()), b.options.releaseTimeout)
}

// fail names the operation and the lock in err, of which an error of the queue
// says the latter already.
func (b *base) fail(op string, err error) error {
	if isNamed(err) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return fmt.Errorf("%s: %s: %w", op, b.name, err)
}

// isNamed reports whether the text of err names the queue. The cause of a ctx is
// the caller's, and may be of any other.
func isNamed(err error) bool {
	var ended *waitError
	if errors.As(err, &ended) {
		err = ended.failure
	}
	var named *queue.Error
	return errors.As(err, &named)
}
