package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// attempt is one call that wants to own: what it has seen of the line, for the
// error that it may end with. One goroutine has it.
type attempt struct {
	base    *base
	ctx     context.Context // the caller's, with the hooks
	began   time.Time
	stage   stage
	ahead   int   // when last told
	failure error // of the latest look; nil if it was answered
}

// stage is how far an attempt has come.
type stage int

const (
	begun stage = iota // nothing was asked yet
	registering
	inLine
	heldBack // it owned, but a lost hold of the same Mutex was not unlocked yet
)

// attempt calls f, unless something speaks against beginning at all, and makes the
// error of it.
func (b *base) attempt(op string, ctx context.Context, f func(*attempt) error) error {
	a := &attempt{base: b, ctx: ctx, began: time.Now()}
	if err := a.impossible(); err != nil {
		return b.fail(op, err)
	}
	a.ctx, a.stage = b.options.traces.observe(ctx), registering
	if err := f(a); err != nil {
		return b.fail(op, a.explain(err))
	}
	return nil
}

// impossible says why the attempt cannot be begun.
func (a *attempt) impossible() error {
	switch {
	case a.base.err != nil:
		return a.base.err
	case a.ctx == nil:
		return errNilCtx
	}
	return a.explain(a.ctx.Err())
}

// await waits until c owns, as it may do already. Otherwise the ticket is given back, which wakes the
// next in line: also when the hand-off and the end of ctx met. It returns
// queue.ErrNotQueued when the ticket was lost.
func (a *attempt) await(c *claim, owns bool) error {
	owned := false
	defer func() { // deferred, because a hook may panic
		if !owned {
			c.abandon()
		}
	}()
	a.stage, a.ahead, a.failure = inLine, c.ticket.Ahead, nil
	a.base.options.traces.registered(c.ticket)
	if !owns {
		if err := a.wait(c); err != nil {
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
	a.base.options.traces.acquired(c.ticket, c.acquired.Sub(a.began))
	told = true
}

// explain says of an attempt that ctx has ended what there was to wait for: those
// in front, or a queue that does not answer.
func (a *attempt) explain(err error) error {
	ended := a.ctx.Err()
	if err == nil || ended == nil {
		return err
	}
	failure := a.failure
	if !errors.Is(err, ended) { // a call failed just when ctx ended
		failure = err
	}
	took := time.Since(a.began).Round(time.Millisecond)
	switch {
	case failure != nil:
		err = fmt.Errorf("%w after %v while the queue did not answer: %w", ended, took, failure)
	case a.stage == heldBack:
		err = fmt.Errorf("%w after %v: %w", ended, took, errHeldBack)
	case a.stage == inLine:
		err = fmt.Errorf("%w after %v with %d ahead in line", ended, took, a.ahead)
	case a.stage == registering:
		err = fmt.Errorf("%w after %v before the queue answered", ended, took)
	default:
		err = fmt.Errorf("%w before the call", ended)
	}
	if cause := context.Cause(a.ctx); !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// fail names the operation and the lock in err, of which an error of the queue
// says the latter already.
func (b *base) fail(op string, err error) error {
	var named *queue.Error
	if errors.As(err, &named) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return fmt.Errorf("%s: %s: %w", op, b.name, err)
}
