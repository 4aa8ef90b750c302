package lock

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/fifolock/fifolock/queue"
)

// base is what a Mutex and a Semaphore have in common: whose line it is, with the
// options, and what was wrong with the arguments.
type base struct {
	queue      queue.TicketQueue
	name       string // of the queue, for errors
	options    options
	err        error           // what was wrong with the arguments; nil if nothing was
	background context.Context // of calls that go on after that of the caller, with the hooks
}

func newBase(q queue.TicketQueue, opts []Option) *base {
	b := &base{queue: q, name: nameOf(q), options: options{releaseTimeout: defaultReleaseTimeout}}
	for _, opt := range opts {
		if opt != nil && b.err == nil {
			b.err = opt(&b.options)
		}
	}
	if isNil(q) {
		b.err = errNil
	}
	b.background = b.observe(context.Background())
	return b
}

// observe returns ctx with what a queue needs to tell of an eviction.
func (b *base) observe(ctx context.Context) context.Context {
	hook := b.options.trace.Evicted
	if hook == nil {
		return ctx
	}
	return queue.OnEvicted(ctx, func(tickets []queue.Ticket) {
		tickets = slices.Clone(tickets) // the caller's f may have the same
		go func() {                     // the queue's call is not held up, and may be a heartbeat
			for _, ticket := range tickets {
				hook(ticket)
			}
		}()
	})
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

// forRelease is the ctx for releasing a ticket: that of the call that took it may
// have ended.
func (b *base) forRelease() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.background, b.options.releaseTimeout)
}

// giveBack removes a ticket that does not become a hold, or whose hold was lost.
func (b *base) giveBack(t queue.Ticket) {
	ctx, cancel := b.forRelease()
	defer cancel()
	_ = queue.Release(ctx, b.queue, t) // the caller has left, has another error, or was told of the loss
}
