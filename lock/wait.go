package lock

import (
	"context"
	"errors"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// waiter is one claim that waits for its turn. One goroutine has it.
//
// The order is: listen, look, wait for a wake-up or for the next poll. A wake-up
// is a hint, unless it is a WakeOwner. It listens also while a look is under way: a
// connection that hangs, of many, must not keep it from a grant that was sent to
// it, nor from noticing that its ticket is lost.
type waiter struct {
	attempt  *attempt
	claim    *claim
	interval *pollInterval
	timer    *time.Timer        // the next look
	ctx      context.Context    // of the looks
	look     *call[queue.Place] // under way; nil if none is
	hinted   bool               // while it looks: the answer may be older than the hint
	since    time.Time          // since when no look has succeeded; zero if the latest has
}

// wait waits until c's ticket owns, as far as the queue has said. Whether the
// ticket is still alive is looked at by own.
func (a *attempt) wait(c *claim) error {
	if err := c.listen(a.ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	w := &waiter{attempt: a, claim: c, interval: a.base.newPollInterval(c.ticket.Lease), ctx: ctx}
	w.timer = time.NewTimer(w.interval.first(c.ticket.Ahead, c.watch.wake != nil))
	defer w.timer.Stop()
	return w.wait()
}

func (w *waiter) wait() error {
	for {
		select {
		case wake := <-w.claim.watch.wake:
			if wake == queue.WakeOwner {
				w.claim.watch.granted = true
				return nil
			}
			w.hint()
		case <-w.timer.C:
			w.ask()
		case <-w.answer():
			owns, err := w.seen(w.look.value, w.look.err)
			if owns || err != nil {
				return err
			}
		case <-w.claim.alive.lost:
			return w.claim.alive.waiterLost()
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

// hint looks now, or again when the look that is under way is answered.
func (w *waiter) hint() {
	if w.look != nil {
		w.hinted = true
		return
	}
	w.timer.Stop()
	w.ask()
}

// ask begins a look.
func (w *waiter) ask() {
	w.hinted, w.attempt.asked = false, time.Now()
	w.look = start(func() (queue.Place, error) {
		return queue.Position(w.ctx, w.claim.base.queue, w.claim.ticket)
	}, nil)
}

// answer is ready when the look under way was answered.
func (w *waiter) answer() <-chan struct{} {
	if w.look == nil {
		return nil
	}
	return w.look.done
}

// seen takes the answer of a look, and arranges for the next one unless the ticket
// owns.
func (w *waiter) seen(place queue.Place, err error) (owns bool, _ error) {
	w.look, w.attempt.asked = nil, time.Time{}
	switch {
	case err != nil:
		if err := w.failed(err); err != nil {
			return false, err
		}
		place = queue.Place{Ahead: w.attempt.ahead} // and nothing to rely on
	case place.Ahead == 0:
		return true, nil
	default:
		w.since, w.attempt.failure = time.Time{}, nil
		w.moved(place.Ahead)
	}
	if w.hinted {
		w.ask()
	} else {
		w.timer.Reset(w.interval.next(place, w.claim.watch.wake != nil))
	}
	return false, nil
}

// moved notes the place in line, and starts the backoff anew if it has changed.
func (w *waiter) moved(ahead int) {
	if ahead == w.attempt.ahead {
		return
	}
	w.attempt.ahead = ahead
	w.interval.reset()
	w.attempt.base.options.traces.waiting(w.claim.ticket, ahead)
}

// failed decides whether a look that failed ends the waiting. A ticket with a
// lease keeps its place while the lease can last, so that a server that is
// restarted does not send all away; then the error is returned.
func (w *waiter) failed(err error) error {
	lease := w.claim.ticket.Lease
	if lease == 0 || errors.Is(err, queue.ErrNotQueued) || errors.Is(err, queue.ErrClosed) || w.ctx.Err() != nil {
		return err
	}
	if w.since.IsZero() {
		w.since = time.Now()
	}
	w.attempt.failure = err
	if time.Since(w.since) < lease {
		return nil
	}
	return err
}
