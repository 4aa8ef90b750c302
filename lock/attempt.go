package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/fifolock/fifolock/queue"
)

// attempt is one call of Lock or Acquire (or TryLock, TryAcquire), from its first ticket to
// its turn: what it has seen of the line, for the hooks and for the error that it may end
// with. One goroutine has it.
type attempt struct {
	base   *base
	ticket queue.Ticket  // the latest of which the hooks must still hear; zero if there is none
	lease  time.Duration // of the latest that it has given up; 0 if there was none
	report
}

// mostUnheard is how many leases in a row may be over before a heartbeat was answered: a
// process that stood still has one or two such, one that is too far from its storage has no
// others.
const mostUnheard = 3

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

// acquire waits for a turn: it returns a claim that owns, or leaves none behind.
// A ticket that is evicted while it waits is replaced by a new one; so is one whose lease was
// over before a heartbeat was answered, but for the third in a row.
func (a *attempt) acquire() (*claim, error) {
	var again *pollInterval
	for unheard := 0; ; {
		c, err := a.register()
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
		unheard++
		if !c.alive.isUnheard() {
			unheard = 0
		}
		if unheard == mostUnheard {
			return nil, fmt.Errorf("the lease of %v was over before a heartbeat was answered, %d times in a row: give the queue a longer one", c.ticket.Lease, unheard)
		}
		a.replaced(err)
		// A queue that evicts all at once must not be a busy loop.
		if again == nil {
			again = newPollInterval(a.base.options.newBackOff, a.lease)
		}
		if err := sleep(a.ctx, again.step()); err != nil {
			return nil, err
		}
	}
}

// register takes a ticket. As a waiter keeps its place through an outage for a lease, so
// does the call when it has lost its place in it.
func (a *attempt) register() (*claim, error) {
	a.stage, a.ahead, a.failure, a.asked = registering, 0, nil, time.Time{} // it has seen nothing yet
	var pause backoff.BackOff                                               // nil until it is needed
	for began := time.Now(); ; {
		sent := time.Now()
		c, err := register(a.ctx, a.base)
		a.took = time.Since(sent)
		if err == nil || endOf(a.ctx) != nil || errors.Is(err, queue.ErrClosed) || time.Since(began) >= a.lease {
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

// replaced tells the hooks that the latest ticket has left the line without having
// owned, and that the attempt goes on.
func (a *attempt) replaced(err error) {
	t := a.ticket
	a.ticket, a.lease, a.ended = queue.Ticket{}, t.Lease, time.Time{}
	err = ofQueue(err)
	if !isNamed(err) { // the queue's own error has the ticket
		err = fmt.Errorf("ticket %d: %w", t.Number, err)
	}
	a.failed(t, a.base.fail("wait", err))
}

// tryAcquire returns a claim that owns at once, or nil if there is none.
func (a *attempt) tryAcquire() (*claim, error) {
	c, err := tryRegister(a.ctx, a.base)
	if c == nil {
		return nil, err
	}
	switch err = a.await(c, true); {
	case err == nil:
		return c, nil
	case errors.Is(err, queue.ErrNotQueued) && a.failure != nil: // it may be in line: its lease was over by the time of the answer, say
		return nil, a.failure
	case errors.Is(err, queue.ErrNotQueued):
		a.replaced(err)
		return nil, nil
	}
	return nil, err
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
			a.gone(c, err)
			a.quit(c)
			return err
		}
	}
	if err := c.own(); err != nil {
		a.gone(c, err)
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

// gone notes, if err says that the ticket is not in line, whether the queue has said so. It
// has not, nor anything else for a lease, where the heartbeat has another reason.
func (a *attempt) gone(c *claim, err error) {
	if !errors.Is(err, queue.ErrNotQueued) {
		return
	}
	a.failure, a.asked = c.alive.whyLost(), time.Time{}
	if errors.Is(a.failure, queue.ErrNotQueued) {
		a.failure = nil
	}
}

// quit gives up the claim of a wait that has failed, and looks meanwhile which ticket
// holds the lock, if it was the end of ctx and the queue has answered before. Both are
// waited for no longer than leaveGrace.
func (a *attempt) quit(c *claim) {
	a.ended = time.Now()
	c.giveUp()
	c.alive.stop()
	left := c.removeLater()
	grace, cancel := context.WithTimeout(context.Background(), leaveGrace)
	defer cancel()
	if endOf(a.ctx) != nil && a.failure == nil {
		a.readHolders(grace, a.base.queue, c.ticket)
	}
	select {
	case <-left.done:
	case <-grace.Done():
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
		hook(c.ticket, c.since.Sub(a.began))
	}
	c.alive.acquired()
	told = true
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
