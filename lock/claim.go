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
	// guardAfter is for how long an owner that was granted its turn does not
	// listen yet, so that a short hold costs a timer and not a goroutine. What is
	// said meanwhile waits in its channel. It is about one round trip, which is how
	// long a grant that is taken back may last anyway.
	guardAfter = time.Millisecond

	// confirmTimeout is how long an owner whose grant was taken back waits for the
	// answer to one look before it looks over another connection.
	confirmTimeout = time.Second
)

// errTakenBack is why a hold is lost that was granted before the storage had
// confirmed it, and whose ticket turned out not to own.
var errTakenBack = errors.New("the ticket does not own the line: it was granted its turn before the storage had lost data")

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

	since time.Time // it owns; written by own
	given sync.Once
	ended chan struct{} // closed when it was given up
}

// watch is what a claim hears from its queue.
type watch struct {
	wake    <-chan queue.Wake // nil: nothing, and it must poll
	stop    func()            // nil: nothing to end
	granted bool              // its turn came by queue.WakeOwner, which may be taken back
	guard   *time.Timer       // nil unless granted
}

func (w *watch) end() {
	if w.guard != nil {
		w.guard.Stop()
	}
	if w.stop != nil {
		w.stop()
	}
}

// register takes a ticket and keeps it alive.
func register(ctx context.Context, b *base) (*claim, error) {
	return take(ctx, b, func(ctx context.Context) (t queue.Ticket, ok bool, err error) {
		t, err = b.queue.Register(ctx)
		return t, err == nil, err
	})
}

// tryRegister takes a ticket that owns at once and keeps it alive; it returns nil
// if there is none.
func tryRegister(ctx context.Context, b *base) (*claim, error) {
	return take(ctx, b, func(ctx context.Context) (queue.Ticket, bool, error) { return queue.TryRegister(ctx, b.queue) })
}

// take calls f, which takes a ticket or none. One that comes after ctx has ended is given back.
func take(ctx context.Context, b *base, f func(context.Context) (queue.Ticket, bool, error)) (*claim, error) {
	type answer struct {
		ticket queue.Ticket
		ok     bool
	}
	sent := time.Now()
	a, err := ask(ctx, leaveGrace, func(ctx context.Context) (answer, error) {
		t, ok, err := f(ctx)
		return answer{t, ok}, err
	}, func(a answer, err error) {
		if a.ok && err == nil {
			b.giveBack(a.ticket)
		}
	})
	if !a.ok || err != nil {
		return nil, err
	}
	return newClaim(b, a.ticket, sent)
}

// newClaim makes a claim of a ticket that was taken by a call that began at sent. A
// ticket that nothing can keep alive is given back.
func newClaim(b *base, t queue.Ticket, sent time.Time) (*claim, error) {
	if _, ok := b.queue.(queue.Refresher); t.Lease > 0 && !ok {
		background(func() { b.giveBack(t) }).settle(leaveGrace)
		return nil, fmt.Errorf("its tickets have a lease of %v, but %T has no method Refresh to renew it: pass the method on (see queue.Refresher): %w",
			t.Lease, b.queue, errors.ErrUnsupported)
	}
	alive := &heartbeat{base: b, ticket: t, lost: make(chan struct{})}
	alive.start(sent)
	return &claim{base: b, ticket: t, alive: alive, ended: make(chan struct{})}, nil
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
		return c.alive.outOfLine()
	}
	c.since = time.Now()
	if c.watch.granted {
		c.watch.guard = time.AfterFunc(guardAfter, c.standGuard)
	} else if stop := c.watch.stop; stop != nil { // it has found by looking that it owns
		c.watch.stop = nil
		background(stop).settle(leaveGrace)
	}
	return nil
}

// standGuard listens on for an owner that was granted its turn. It looks at once when
// the grant is taken back, and again until the queue has answered: how long that may
// go on is the lease's to say. It ends with the heartbeat.
func (c *claim) standGuard() {
	ctx := c.alive.ctx
	pause := newBackOff()
	var again <-chan time.Time // nil unless looks fail
	hinted := false
	for {
		select {
		case <-c.watch.wake: // a grant, too: one that was taken back may be given again
			if again != nil { // as in waiter.hint
				if !hinted {
					hinted, again = true, time.After(nextToOwn)
				}
				continue
			}
		case <-again:
		case <-ctx.Done():
			return
		}
		again, hinted = nil, false
		if c.confirm(ctx) {
			pause.Reset()
		} else {
			again = time.After(pause.NextBackOff())
		}
	}
}

// confirm looks whether the claim owns, and gives it up as lost if it does not. It
// reports false if the queue has not answered and may yet.
func (c *claim) confirm(ctx context.Context) (answered bool) {
	asking, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	place, err := ask(asking, 0, func(ctx context.Context) (queue.Place, error) {
		return queue.Position(ctx, c.base.queue, c.ticket)
	}, nil)
	switch {
	case errors.Is(err, queue.ErrNotQueued):
		c.alive.declareLost(ofQueue(err))
	case err != nil:
		return errors.Is(err, queue.ErrClosed)
	case place.Ahead > 0:
		c.alive.declareLost(errTakenBack)
		c.base.giveBack(c.ticket) // it would own again in its turn, and hold up the line
	}
	return true
}

// release gives up a claim that owns, and returns the caller's error of op.
func (c *claim) release(op string) error {
	if !c.giveUp() {
		return c.base.fail(op, ErrNotLocked)
	}
	if reason := c.alive.stop(); reason != nil {
		c.removeLater().settle(leaveGrace) // there is nothing to be learned from the queue any more
		return c.base.fail(op, fmt.Errorf("%w: %w", ErrLost, reason))
	}
	c.tellReleased()
	err := c.removeAndWait()
	if err == nil {
		return nil
	}
	err = c.base.fail(op, err)
	if hook := c.base.options.trace.ReleaseFailed; hook != nil {
		hook(c.ticket, err)
	}
	return err
}

// tellReleased tells the hooks, before anything else can own. If one of them panics,
// the ticket leaves the line all the same.
func (c *claim) tellReleased() {
	told := false
	defer func() {
		if !told {
			c.removeLater()
		}
	}()
	if hook := c.base.options.trace.Released; hook != nil {
		hook(c.ticket, time.Since(c.since))
	}
	told = true
}

// abandon gives up a claim that does not own, or that the caller does not get because a
// hook has panicked. It waits for that no longer than leaveGrace; the rest happens in the
// background.
func (c *claim) abandon() {
	if c.giveUp() {
		c.alive.stop()
		c.removeLater().settle(leaveGrace)
	}
}

// giveUp reports whether this call is the one that gives up the claim.
func (c *claim) giveUp() (first bool) {
	c.given.Do(func() {
		close(c.ended)
		first = true
	})
	return first
}

// remove takes the ticket out of the line, then ends its watch: until then a grant
// may be taken back. It does not wait for a heartbeat that is under way, which
// never brings a ticket back.
func (c *claim) remove(ctx context.Context) error {
	defer c.watch.end()
	return queue.Release(ctx, c.base.queue, c.ticket)
}

// removeAndWait is remove, and returns what the queue has said.
func (c *claim) removeAndWait() error {
	ctx, cancel := c.base.forRelease()
	defer cancel()
	_, err := ask(ctx, 0, func(ctx context.Context) (struct{}, error) { return struct{}{}, c.remove(ctx) }, nil)
	err = ofQueue(err)
	switch {
	case errors.Is(err, queue.ErrNotQueued):
		return fmt.Errorf("%w: %w", ErrLost, err)
	case err != nil && endOf(ctx) != nil:
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

// removeLater is remove, in the background.
func (c *claim) removeLater() *call[struct{}] {
	return background(func() {
		ctx, cancel := c.base.forRelease()
		defer cancel()
		_ = c.remove(ctx) // nothing waits for the answer
	})
}

// do calls f with a ctx that ends also when the claim is lost or given up.
func (c *claim) do(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.alive.lost:
		case <-c.ended: // by an Unlock too many: the lock may be another's by now
		case <-ctx.Done():
			return
		}
		err := ErrNotLocked
		if reason := c.alive.whyLost(); reason != nil {
			err = fmt.Errorf("%w: %w", ErrLost, reason)
		}
		cancel(c.base.fail("hold", err))
	}()
	return f(ctx)
}
