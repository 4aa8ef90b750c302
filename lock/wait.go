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
	seen     *report
	claim    *claim
	interval *pollInterval
	timer    *time.Timer        // the next look
	ctx      context.Context    // of the looks
	look     *call[queue.Place] // under way; nil if none is
	hinted   bool               // while it looks: the answer may be older than the hint; or while looks fail
	since    time.Time          // since when no look has succeeded; zero if the latest has
}

// wait waits until c's ticket owns, as far as the queue has said, and notes what it sees
// of the line. Whether the ticket is still alive is looked at by own.
func wait(c *claim, seen *report) error {
	seen.asked = time.Now()
	if err := c.listen(seen.ctx); err != nil {
		return err
	}
	seen.asked = time.Time{}
	ctx, cancel := context.WithCancel(seen.ctx)
	defer cancel()
	w := &waiter{seen: seen, claim: c, interval: newPollInterval(c.base.options.newBackOff, c.ticket.Lease), ctx: ctx}
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
				w.turn()
				return nil
			}
			w.hint()
		case <-w.timer.C:
			w.ask()
		case <-w.answer():
			owns, err := w.looked(w.look.value, w.look.err)
			if owns || err != nil {
				return err
			}
		case <-w.claim.alive.lost:
			return w.claim.alive.outOfLine()
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

// hint looks now, or again when the look that is under way is answered. While looks fail it
// looks in a moment: a queue that hints because it was not answered must not be a busy loop.
func (w *waiter) hint() {
	switch {
	case w.look != nil:
		w.hinted = true
	case w.since.IsZero():
		w.timer.Stop()
		w.ask()
	case !w.hinted: // a further one must not put the look off
		w.hinted = true
		w.timer.Reset(nextToOwn)
	}
}

// ask begins a look.
func (w *waiter) ask() {
	w.hinted, w.seen.asked = false, time.Now()
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

// looked takes the answer of a look, and arranges for the next one unless the ticket
// owns.
func (w *waiter) looked(place queue.Place, err error) (owns bool, _ error) {
	took := time.Since(w.seen.asked)
	w.look, w.seen.asked = nil, time.Time{}
	switch {
	case err != nil:
		if err := w.failed(err); err != nil {
			return false, err
		}
		place = queue.Place{Ahead: w.seen.ahead} // and nothing to rely on
	case place.Ahead == 0:
		w.turn()
		return true, nil
	default:
		w.since, w.seen.failure, w.seen.took = time.Time{}, nil, took
		w.moved(place.Ahead)
	}
	switch {
	case !w.hinted:
		w.timer.Reset(w.interval.next(place, w.claim.watch.wake != nil))
	case err == nil:
		w.ask()
	default: // see hint
		w.timer.Reset(nextToOwn)
	}
	return false, nil
}

// turn notes that none is ahead any more, unless others were when ctx ended.
func (w *waiter) turn() {
	if w.ctx.Err() == nil {
		w.seen.ahead = 0
	}
}

// moved notes the place in line, and starts the backoff anew if it has changed.
func (w *waiter) moved(ahead int) {
	if _, ok := w.claim.base.queue.(queue.Positioner); !ok {
		ahead = max(ahead, w.seen.ahead) // queue.Position says 1 whatever the place
	}
	if ahead == w.seen.ahead {
		return
	}
	w.seen.ahead = ahead
	w.interval.reset()
	if hook := w.claim.base.options.trace.Waiting; hook != nil {
		hook(w.claim.ticket, ahead)
	}
}

// failed decides whether a look that failed ends the waiting. A ticket with a
// lease keeps its place while the lease can last, so that a server that is
// restarted does not send all away; then the error is returned.
func (w *waiter) failed(err error) error {
	lease := w.claim.ticket.Lease
	if lease == 0 || errors.Is(err, queue.ErrNotQueued) || errors.Is(err, queue.ErrClosed) || endOf(w.ctx) != nil {
		return err
	}
	if w.since.IsZero() {
		w.since = time.Now()
	}
	w.seen.failure = err
	if time.Since(w.since) < lease {
		return nil
	}
	return err
}
