package lock

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/fifolock/fifolock/queue"
)

// base is what a Mutex and a Semaphore have in common: whose line it is, and what
// was wrong with the arguments.
type base struct {
	queue   queue.TicketQueue
	name    string // of the queue, for errors
	options options
	err     error // what was wrong with the arguments; nil if nothing was
}

func newBase(q queue.TicketQueue, opts []Option) *base {
	b := &base{queue: q, name: nameOf(q)}
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

// attempt is one call that wants to own: what it has seen of the line, for the
// hooks and for the error that it may end with. One goroutine has it.
type attempt struct {
	base    *base
	ctx     context.Context // the caller's, with the hooks, and no longer than WithMaxWait
	began   time.Time
	ticket  queue.Ticket // the latest of which the hooks must still hear; zero if there is none
	mine    func() bool  // whether the lock's own value holds it; nil: it may be held by several
	stage   stage
	ahead   int            // when last told
	failure error          // of the latest look; nil if it was answered
	asked   time.Time      // since when a look is under way; zero if none is
	ended   time.Time      // when the wait has failed; zero if there was none
	holders []queue.Member // when the wait had failed; nil if they are not known
}

// stage is how far an attempt has come.
type stage int

const (
	begun stage = iota // nothing was asked yet
	registering
	inLine
	heldBack // it owned, but a lost hold of the same Mutex was not unlocked yet
)

// noMaxWait is the limit of an attempt that only its ctx ends.
const noMaxWait time.Duration = 0

// attempt calls f, unless something speaks against beginning at all, and makes the
// error of it.
func (b *base) attempt(op string, ctx context.Context, maxWait time.Duration, f func(*attempt) error) error {
	a := &attempt{base: b, ctx: ctx, began: time.Now()}
	if ctx == nil {
		a.ctx = context.Background()
	}
	err := b.impossible(ctx)
	if err == nil {
		a.ctx, a.stage = b.options.traces.observe(ctx), registering
		if maxWait > 0 {
			var cancel context.CancelFunc
			a.ctx, cancel = context.WithTimeoutCause(a.ctx, maxWait, maxWaitError(maxWait))
			defer cancel()
		}
		err = f(a)
	}
	if err == nil {
		return nil
	}
	err = b.fail(op, a.explain(err))
	b.options.traces.failed(a.ticket, time.Since(a.began), err)
	return err
}

// impossible says why an attempt cannot be begun.
func (b *base) impossible(ctx context.Context) error {
	switch {
	case b.err != nil:
		return b.err
	case ctx == nil:
		return errNilCtx
	}
	return ctx.Err()
}

// await waits until c owns, as it may do already. Otherwise the ticket is given
// back, which wakes the next in line: also when the hand-off and the end of ctx
// met. It returns queue.ErrNotQueued when the ticket was lost.
func (a *attempt) await(c *claim, owns bool) error {
	owned := false
	defer func() { // deferred, because a hook may panic
		if !owned {
			c.abandon()
		}
	}()
	a.stage, a.ticket = inLine, c.ticket
	a.ahead, a.failure, a.asked = c.ticket.Ahead, nil, time.Time{}
	a.base.options.traces.registered(c.ticket)
	if !owns {
		if err := a.wait(c); err != nil {
			a.quit(c)
			return err
		}
	}
	err := c.own()
	owned = err == nil
	return err
}

// holdBack waits until the hold before has been given up.
func (a *attempt) holdBack(before *claim) error {
	a.stage = heldBack
	select {
	case <-before.ended:
		return nil
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

// acquired tells the hooks that c owns. If one of them panics, undo is called.
func (a *attempt) acquired(c *claim, undo func()) {
	told := false
	defer func() {
		if !told {
			undo()
		}
	}()
	a.ticket = queue.Ticket{}
	a.base.options.traces.acquired(c.ticket, c.acquired.Sub(a.began))
	told = true
}

// replaced tells the hooks that the latest ticket has left the line without having
// owned, and that the attempt goes on.
func (a *attempt) replaced(err error) {
	t := a.ticket
	a.ticket, a.ended = queue.Ticket{}, time.Time{}
	a.base.options.traces.failed(t, time.Since(a.began), a.base.fail("wait", fmt.Errorf("ticket %d: %w", t.Number, err)))
}

// acquire waits for a turn: it returns a claim that owns, or leaves none behind.
// A ticket that is evicted while it waits is replaced by a new one.
func (b *base) acquire(a *attempt) (*claim, error) {
	var again *pollInterval
	var lease time.Duration // of the ticket that was evicted
	for {
		c, err := a.register(lease)
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
		lease = c.ticket.Lease
		// A queue that evicts all at once must not be a busy loop.
		if again == nil {
			again = b.newPollInterval(c.ticket.Lease)
		}
		if err := sleep(a.ctx, again.pause()); err != nil {
			return nil, err
		}
	}
}

// register takes a ticket. As a waiter keeps its place through an outage for a lease, so
// does the call when it has lost its place in it: then lease is above 0.
func (a *attempt) register(lease time.Duration) (*claim, error) {
	var pause backoff.BackOff // nil until it is needed
	for began := time.Now(); ; {
		c, err := a.base.register(a.ctx)
		if err == nil || a.ctx.Err() != nil || errors.Is(err, queue.ErrClosed) || time.Since(began) >= lease {
			return c, err
		}
		a.failure = err
		if pause == nil {
			pause = newBackOff()
		}
		if err := sleep(a.ctx, pause.NextBackOff()); err != nil {
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
