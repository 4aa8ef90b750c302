package lock

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// claim is one ticket from taking to giving up. It is what a Mutex and a
// Semaphore are made of.
//
//	register → wait → own → release
//	        ↘      ↘     ↘
//	          abandon      lost → release
//
// One goroutine has it until it owns. Then release and abandon may be called by
// any, and the first of them is the one that counts. From taking to giving up its
// heartbeat keeps the ticket alive.
type claim struct {
	base   *base
	ticket queue.Ticket
	alive  *heartbeat
	watch  watch // written before the claim owns

	acquired time.Time // written by own
	given    atomic.Bool
	ended    chan struct{} // closed when it was given up
}

// watch is what a claim hears from its queue.
type watch struct {
	wake    <-chan queue.Wake // nil: nothing, and it must poll
	stop    func()            // nil: nothing to end
	granted bool              // its turn came by queue.WakeOwner, which may be taken back
	guard   *time.Timer       // nil unless granted
}

// register takes a ticket and keeps it alive.
func (b *base) register(ctx context.Context) (*claim, error) {
	sent := time.Now()
	t, err := ask(ctx, leaveGrace, b.queue.Register, func(t queue.Ticket, err error) {
		if err == nil {
			b.giveBack(t)
		}
	})
	if err != nil {
		return nil, err
	}
	return b.claim(t, sent)
}

// tryRegister takes a ticket that owns at once and keeps it alive; it returns nil
// if there is none.
func (b *base) tryRegister(ctx context.Context) (*claim, error) {
	type answer struct {
		ticket queue.Ticket
		ok     bool
	}
	sent := time.Now()
	a, err := ask(ctx, leaveGrace, func(ctx context.Context) (answer, error) {
		t, ok, err := queue.TryRegister(ctx, b.queue)
		return answer{t, ok}, err
	}, func(a answer, err error) {
		if a.ok && err == nil {
			b.giveBack(a.ticket)
		}
	})
	if !a.ok || err != nil {
		return nil, err
	}
	return b.claim(a.ticket, sent)
}

// claim makes a claim of a ticket that was taken by a call that began at sent. A
// ticket that nothing can keep alive is given back.
func (b *base) claim(t queue.Ticket, sent time.Time) (*claim, error) {
	if _, ok := b.queue.(queue.Refresher); t.Lease > 0 && !ok {
		b.giveBack(t)
		return nil, fmt.Errorf("its tickets have a lease of %v, but %T has no method Refresh to renew it: pass the method on (see queue.Refresher): %w",
			t.Lease, b.queue, errors.ErrUnsupported)
	}
	return &claim{base: b, ticket: t, alive: b.startHeartbeat(t, sent), ended: make(chan struct{})}, nil
}

// forRelease is the ctx for releasing a ticket: that of the call that took it may
// have ended.
func (b *base) forRelease() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.options.traces.observe(context.Background()), b.options.releaseTimeout)
}

// giveBack removes a ticket that no claim was made of.
func (b *base) giveBack(t queue.Ticket) {
	ctx, cancel := b.forRelease()
	defer cancel()
	_ = queue.Release(ctx, b.queue, t) // the caller has left, or has another error
}

// listen begins the watch. If the queue cannot tell, polling must do. A queue
// that was closed is an error.
func (c *claim) listen(ctx context.Context) error {
	type answer struct {
		wake <-chan queue.Wake
		stop func()
	}
	a, err := ask(ctx, 0, func(ctx context.Context) (answer, error) {
		wake, stop, err := queue.Watch(ctx, c.base.queue, c.ticket)
		return answer{wake, stop}, err
	}, func(a answer, _ error) {
		if a.stop != nil {
			a.stop()
		}
	})
	c.watch.stop = a.stop
	if err == nil {
		c.watch.wake = a.wake
	}
	if errors.Is(err, queue.ErrClosed) {
		return err
	}
	return ctx.Err()
}

// own turns the claim of a waiter whose ticket owns into that of an owner. It
// returns queue.ErrNotQueued if the ticket may have been lost meanwhile.
func (c *claim) own() error {
	if !c.alive.own() {
		return queue.ErrNotQueued
	}
	c.acquired = time.Now()
	if c.watch.granted {
		c.watch.guard = time.AfterFunc(guardAfter, c.standGuard)
	} else {
		c.watch.end() // it has found by looking that it owns
	}
	return nil
}

// release gives up a claim that owns, and returns what the queue has said.
func (c *claim) release() error {
	if !c.giveUp() {
		return ErrNotLocked
	}
	if reason := c.alive.stop(); reason != nil {
		c.leave().settle(leaveGrace) // there is nothing to be learned from the queue any more
		return fmt.Errorf("%w: %w", ErrLost, reason)
	}
	c.released()
	err := c.confirmed()
	if err != nil {
		c.base.options.traces.releaseFailed(c.ticket, err)
	}
	return err
}

// released tells the hooks, before anything else can own. If one of them panics,
// the ticket leaves the line all the same.
func (c *claim) released() {
	told := false
	defer func() {
		if !told {
			c.leave()
		}
	}()
	c.base.options.traces.released(c.ticket, time.Since(c.acquired))
	told = true
}

// confirmed takes the ticket out of the line and returns what the queue has said.
func (c *claim) confirmed() error {
	ctx, cancel := c.base.forRelease()
	defer cancel()
	err := tell(ctx, c.drop)
	switch {
	case errors.Is(err, queue.ErrNotQueued):
		return fmt.Errorf("%w: %w", ErrLost, err)
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("no answer within %v: the ticket may still be in line%s: %w", c.base.options.releaseTimeout, untilItLapses(c.ticket), err)
	}
	return err
}

// untilItLapses says for how long a ticket stays that nothing keeps alive.
func untilItLapses(t queue.Ticket) string {
	if t.Lease == 0 {
		return ""
	}
	return fmt.Sprintf(", for its lease of %v at most", t.Lease)
}

// abandon gives up a claim that does not own, or of which the caller will not
// hear. It waits for that no longer than leaveGrace; the rest happens in the
// background.
func (c *claim) abandon() {
	if c.giveUp() {
		c.alive.stop()
		c.leave().settle(leaveGrace)
	}
}

// giveUp reports whether this call is the one that gives up the claim.
func (c *claim) giveUp() bool {
	if !c.given.CompareAndSwap(false, true) {
		return false
	}
	close(c.ended)
	return true
}

// leave takes the ticket out of the line in the background.
func (c *claim) leave() *call[struct{}] {
	return start(func() (struct{}, error) {
		ctx, cancel := c.base.forRelease()
		defer cancel()
		return struct{}{}, c.drop(ctx)
	}, nil)
}

// drop takes the ticket out of the line, then ends its watch: until then a grant
// may be taken back. It does not wait for a heartbeat that is under way, which
// never brings a ticket back.
func (c *claim) drop(ctx context.Context) error {
	defer c.watch.end()
	return queue.Release(ctx, c.base.queue, c.ticket)
}

// do calls f with a ctx that ends also when the claim is lost.
func (c *claim) do(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.alive.lost:
			cancel(c.base.fail("hold", fmt.Errorf("%w: %w", ErrLost, c.alive.whyLost())))
		case <-ctx.Done():
		}
	}()
	return f(ctx)
}

// end ends the watch. It may be called more than once, but not twice at a time.
func (w *watch) end() {
	if w.guard != nil {
		w.guard.Stop()
	}
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}
