package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/fifolock/fifolock/queue"
)

// attempt is one call that wants to own: what it has seen of the line, for the
// hooks and for the error that it may end with. One goroutine has it.
type attempt struct {
	base   *base
	ticket queue.Ticket // the latest of which the hooks must still hear; zero if there is none
	report
}

// noMaxWait is the limit of an attempt that only its ctx ends.
const noMaxWait time.Duration = 0

// run calls f, unless the attempt cannot begin, and makes the caller's error of f's.
func (a *attempt) run(ctx context.Context, op string, maxWait time.Duration, f func() error) error {
	a.ctx, a.began = ctx, time.Now()
	if ctx == nil {
		a.ctx = context.Background()
	}
	err := a.impossible(ctx)
	if err == nil {
		a.ctx, a.stage = a.base.observe(ctx), registering
		if maxWait > 0 {
			var cancel context.CancelFunc
			a.ctx, cancel = context.WithTimeoutCause(a.ctx, maxWait, maxWaitError(maxWait))
			defer cancel()
		}
		err = f()
	}
	if err == nil {
		return nil
	}
	err = a.base.fail(op, a.explain(err))
	a.failed(a.ticket, err)
	return err
}

// impossible says why the attempt cannot be begun.
func (a *attempt) impossible(ctx context.Context) error {
	switch {
	case a.base.err != nil:
		return a.base.err
	case ctx == nil:
		return errNilCtx
	}
	return ctx.Err()
}

// failed tells the hooks that the attempt, or only its ticket, has failed.
func (a *attempt) failed(t queue.Ticket, err error) {
	if hook := a.base.options.trace.Failed; hook != nil {
		hook(t, time.Since(a.began), err)
	}
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
	a.ahead, a.failure = c.ticket.Ahead, nil
	if hook := a.base.options.trace.Registered; hook != nil {
		hook(c.ticket)
	}
	if !owns {
		if err := wait(c, &a.report); err != nil {
			a.quit(c)
			return err
		}
	}
	if err := c.own(); err != nil {
		return err
	}
	// The turn may have come after the end of ctx, while a hook ran.
	if err := a.ctx.Err(); err != nil {
		a.failure, a.asked = nil, time.Time{} // it has answered
		return err
	}
	owned = true
	return nil
}

// quit gives up the claim of a wait that has failed, and looks meanwhile which ticket
// holds the lock, if it was the end of ctx and the queue has answered before. Both are
// waited for no longer than leaveGrace.
func (a *attempt) quit(c *claim) {
	a.ended = time.Now()
	if !c.giveUp() {
		return
	}
	c.alive.stop()
	left := c.leave()
	grace, cancel := context.WithTimeout(context.Background(), leaveGrace)
	defer cancel()
	if a.ctx.Err() != nil && a.failure == nil {
		a.readHolders(grace, a.base.queue, c.ticket)
	}
	select {
	case <-left.done:
	case <-grace.Done():
	}
}

// holdBack waits until the hold before has been given up.
func (a *attempt) holdBack(before *claim) error {
	a.stage, a.failure = heldBack, nil // it owned, and so it was answered
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
	if hook := a.base.options.trace.Acquired; hook != nil {
		hook(c.ticket, c.acquired.Sub(a.began))
	}
	c.alive.acquired()
	told = true
}

// replaced tells the hooks that the latest ticket has left the line without having
// owned, and that the attempt goes on.
func (a *attempt) replaced(err error) {
	t := a.ticket
	a.ticket, a.ended = queue.Ticket{}, time.Time{}
	if !isNamed(err) { // the queue's own error has the ticket
		err = fmt.Errorf("ticket %d: %w", t.Number, err)
	}
	a.failed(t, a.base.fail("wait", err))
}

// acquire waits for a turn: it returns a claim that owns, or leaves none behind.
// A ticket that is evicted while it waits is replaced by a new one.
func (a *attempt) acquire() (*claim, error) {
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
		if reason := c.alive.whyLost(); reason != nil && !errors.Is(reason, queue.ErrNotQueued) {
			a.failure = reason // the queue has not said so, nor anything else for a lease
		}
		lease = c.ticket.Lease
		// A queue that evicts all at once must not be a busy loop.
		if again == nil {
			again = newPollInterval(a.base.options.newBackOff, lease)
		}
		if err := sleep(a.ctx, again.step()); err != nil {
			return nil, err
		}
	}
}

// register takes a ticket. As a waiter keeps its place through an outage for a lease, so
// does the call when it has lost its place in it: then lease is above 0.
func (a *attempt) register(lease time.Duration) (*claim, error) {
	a.stage, a.ahead, a.failure, a.asked = registering, 0, nil, time.Time{} // it has seen nothing yet
	var pause backoff.BackOff                                               // nil until it is needed
	for began := time.Now(); ; {
		sent := time.Now()
		c, err := register(a.ctx, a.base)
		a.took = time.Since(sent)
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
func (a *attempt) tryAcquire() (*claim, error) {
	c, err := tryRegister(a.ctx, a.base)
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
