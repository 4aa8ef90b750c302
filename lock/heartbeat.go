package lock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fifolock/fifolock/queue"
)

const (
	// beatsPerLease is how often a lease is renewed in its length, so that two
	// heartbeats in a row may fail.
	beatsPerLease = 3

	// retriesPerLease is how often a heartbeat that failed is tried again.
	retriesPerLease = 15

	// marginPerLease is the part of a lease that is not relied upon: it covers
	// the difference in rate of two clocks and a late timer.
	marginPerLease = 10

	// beatsUnderWay is how many heartbeats may be unanswered at a time. One
	// that hangs must not keep the next from getting through.
	beatsUnderWay = 4

	// checkInterval is how often a ticket without a lease is looked after.
	checkInterval = 10 * time.Second
)

// errGivenUp is the reason when the queue has closed the ticket's Lost.
var errGivenUp = errors.New("the queue gave the ticket up: it was not in line any more, or could not show in time that this process lives (crash detection)")

// heartbeat keeps a ticket alive from the moment it is in line until stop, and
// notices when the queue does not believe in it any more: because the queue
// said so, or because the lease may have run out, by this process's monotonic
// clock and without the queue's help.
//
// It runs on timers, not in a goroutine of its own, unless the queue may give the ticket
// up: a lock that is held for less than a third of its lease costs two timers and no more.
type heartbeat struct {
	base   *base
	ticket queue.Ticket
	lost   chan struct{} // closed when the ticket is lost

	ctx    context.Context // ends when the ticket is lost or given up; set by start
	cancel context.CancelFunc

	mu      sync.Mutex  // guards what follows
	until   time.Time   // with a lease: believed until then
	next    *time.Timer // the next beat
	expiry  *time.Timer // nil without a lease
	beats   int         // under way
	heard   bool        // a beat was answered, or has failed, in time
	failure error       // of the latest beat, if it failed
	reason  error       // why the ticket was lost; nil while it is not
	owner   bool        // the ticket owns
	told    bool        // the hooks know that it owns
	stopped bool
}

// start keeps the ticket alive, which was taken by a call that began at sent.
func (h *heartbeat) start(sent time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ctx, h.cancel = context.WithCancel(h.base.background)
	h.next = time.AfterFunc(time.Until(sent.Add(h.interval())), h.beat)
	if h.ticket.Lease > 0 {
		h.until = h.believedUntil(sent)
		h.expiry = time.AfterFunc(time.Until(h.until), h.expire)
	}
	if h.ticket.Lost != nil {
		go h.follow()
	}
}

// follow gives the ticket up when the queue does.
func (h *heartbeat) follow() {
	select {
	case <-h.ticket.Lost:
	case <-h.ctx.Done():
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over() {
		h.presumeLost(errGivenUp)
	}
}

func (h *heartbeat) interval() time.Duration {
	if h.ticket.Lease > 0 {
		return h.ticket.Lease / beatsPerLease
	}
	return checkInterval
}

// believedUntil is how long a sign of life that was sent at the given time can
// be relied on. It counts from the sending: when it arrived is not known.
func (h *heartbeat) believedUntil(sent time.Time) time.Time {
	return sent.Add(h.ticket.Lease - h.ticket.Lease/marginPerLease)
}

// isUnheard reports whether the lease has run out without a beat that was answered, or failed.
func (h *heartbeat) isUnheard() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ticket.Lease > 0 && !h.heard && !time.Now().Before(h.until)
}

// beat refreshes the ticket once and arranges for the next time.
func (h *heartbeat) beat() {
	if !h.begin() {
		return
	}
	sent := time.Now()
	err := ofQueue(queue.Refresh(h.ctx, h.base.queue, h.ticket))
	if hook := h.base.options.trace.HeartbeatFailed; h.end(sent, err) && hook != nil {
		hook(h.ticket, err)
	}
}

// begin notes that a beat is under way. The next one is arranged before this
// one is sent, so that it comes also when this one hangs.
func (h *heartbeat) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over() {
		return false
	}
	h.next.Reset(h.interval())
	if h.beats == beatsUnderWay {
		return false
	}
	h.beats++
	return true
}

// hurry has the next beat come now.
func (h *heartbeat) hurry() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over() {
		h.next.Reset(0)
	}
}

// end notes how a beat went, and reports whether it is to be told as a failure
// that the ticket has survived.
func (h *heartbeat) end(sent time.Time, err error) (failed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beats--
	if h.over() {
		return false
	}
	h.heard, h.failure = true, err
	switch {
	case err == nil:
		h.renew(sent)
		return false
	case errors.Is(err, queue.ErrNotQueued), errors.Is(err, queue.ErrClosed) && !h.owner:
		h.lose(err)
		return false
	case h.ticket.Lease > 0: // one failed heartbeat is not a loss
		h.next.Reset(h.ticket.Lease / retriesPerLease)
	}
	return true
}

// renew notes that a sign of life sent at the given time was heard. Answers
// may overtake each other: an older one never shortens what a newer one gave.
// h.mu is held.
func (h *heartbeat) renew(sent time.Time) {
	if h.ticket.Lease == 0 {
		return
	}
	if until := h.believedUntil(sent); until.After(h.until) {
		h.until = until
		h.expiry.Reset(time.Until(until))
	}
}

// expire gives the ticket up if it was not renewed in time.
func (h *heartbeat) expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over() || time.Now().Before(h.until) { // renewed while this timer fired
		return
	}
	h.presumeLost(h.ranOut())
}

// ranOut is why a ticket is given up that could not be renewed in time.
func (h *heartbeat) ranOut() error {
	const text = "the lease of %v ran out before a heartbeat was answered"
	if h.failure == nil {
		return fmt.Errorf(text, h.ticket.Lease)
	}
	return fmt.Errorf(text+": %w", h.ticket.Lease, h.failure)
}

// over reports whether there is nothing left to keep alive. h.mu is held.
func (h *heartbeat) over() bool { return h.stopped || h.reason != nil }

// declareLost gives the ticket up for a reason that was found elsewhere.
func (h *heartbeat) declareLost(reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over() {
		h.lose(reason)
	}
}

// whyLost is why the ticket was lost; nil while it is not.
func (h *heartbeat) whyLost() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reason
}

// outOfLine is the error of a waiter whose ticket was lost. It is queue.ErrNotQueued if a new
// one may be taken, for whatever reason.
func (h *heartbeat) outOfLine() error {
	reason := h.whyLost()
	if errors.Is(reason, queue.ErrNotQueued) || errors.Is(reason, queue.ErrClosed) {
		return reason
	}
	return fmt.Errorf("%w: %w", queue.ErrNotQueued, reason)
}

// lose gives the ticket up. h.mu is held.
func (h *heartbeat) lose(reason error) {
	h.reason = reason
	h.halt()
	close(h.lost)
	if h.told {
		h.tellLost()
	}
}

// presumeLost gives up a ticket that the storage may still have: only the answers may have
// been lost. The ticket of an owner would then hold up the line, so withdraw removes it after
// a tenth of the lease. Until then the owner has time to stop. A waiter's call removes its
// ticket itself. h.mu is held.
func (h *heartbeat) presumeLost(reason error) {
	h.lose(reason)
	if h.owner {
		h.expiry = time.AfterFunc(h.ticket.Lease/marginPerLease, h.withdraw)
	}
}

// withdraw takes a ticket out of the line whose owner was told that it is lost.
func (h *heartbeat) withdraw() {
	h.mu.Lock()
	stopped := h.stopped
	h.mu.Unlock()
	if !stopped {
		h.base.giveBack(h.ticket)
	}
}

// tellLost tells the hooks why the ticket was lost. h.mu is held.
func (h *heartbeat) tellLost() {
	if hook := h.base.options.trace.Lost; hook != nil {
		go hook(h.ticket, h.reason) // it may call back into the Mutex
	}
}

// acquired says that the hooks were told that the ticket owns: not before do they hear of
// its loss.
func (h *heartbeat) acquired() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = true
	if h.reason != nil {
		h.tellLost()
	}
}

// halt stops the timers and ends what is under way. h.mu is held.
func (h *heartbeat) halt() {
	h.next.Stop()
	if h.expiry != nil {
		h.expiry.Stop()
	}
	h.cancel()
}

// own turns the ticket of a waiter into that of an owner. It returns false if the ticket
// may be lost already, also when the timer that would have said so has not fired yet, as
// after a SIGSTOP.
func (h *heartbeat) own() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over() {
		return false
	}
	if h.ticket.Lease > 0 && !time.Now().Before(h.until) {
		h.lose(h.ranOut())
		return false
	}
	select {
	case <-h.ticket.Lost: // which follow has not seen yet
		h.lose(errGivenUp)
		return false
	default:
	}
	h.owner = true
	return true
}

// stop ends the heartbeat and returns why the ticket was lost, or nil if it was
// not. After stop, lost is never closed any more.
func (h *heartbeat) stop() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	h.halt()
	return h.reason
}
