package lock

import (
	"context"
	"errors"
	"fmt"

	"github.com/fifolock/fifolock/queue"
)

// release ends a hold: the heartbeat first, so that nothing is sent after the
// ticket is gone, then the ticket.
func (m *Mutex) release(h *heartbeat) error {
	if reason := h.stop(); reason != nil {
		m.leave(h) // there is nothing to be learned from the queue any more
		return fmt.Errorf("%w: %w", ErrLost, reason)
	}
	ctx, cancel := m.forRelease()
	defer cancel()
	_, err := detached(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, m.drop(ctx, h)
	}, nil)
	switch {
	case errors.Is(err, queue.ErrNotQueued):
		return fmt.Errorf("%w: %w", ErrLost, err)
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("no answer within %v: the ticket may still be in line: %w", m.options.releaseTimeout, err)
	}
	return err
}

// quit ends a Lock that returns without owning the lock. It may own it already:
// if the hook that was to be told panicked, nobody is left to unlock.
func (m *Mutex) quit(h *heartbeat) {
	m.end(h)
	m.leave(h)
}

// leave gives back a ticket that does not own the lock, or not any more. It
// waits for that no longer than leaveGrace; the rest happens in the background.
func (m *Mutex) leave(h *heartbeat) {
	h.stop()
	waiting, cancel := context.WithTimeout(context.Background(), leaveGrace)
	defer cancel()
	_, _ = detached(waiting, func(context.Context) (struct{}, error) {
		ctx, cancel := m.forRelease()
		defer cancel()
		return struct{}{}, m.drop(ctx, h) // the caller has an error to report already
	}, nil)
}

// drop takes the ticket out of the line once no heartbeat is under way. One
// that hangs is waited for half of the time at most.
func (m *Mutex) drop(ctx context.Context, h *heartbeat) error {
	h.settle(m.options.releaseTimeout / 2)
	return queue.Release(ctx, m.queue, h.ticket)
}

// forRelease is the ctx for releasing a ticket: that of the call that took it
// may have ended.
func (m *Mutex) forRelease() (context.Context, context.CancelFunc) {
	return context.WithTimeout(m.options.trace.observe(context.Background()), m.options.releaseTimeout)
}

// giveBack removes a ticket that came after nobody waited for it any more.
func (m *Mutex) giveBack(t queue.Ticket) {
	ctx, cancel := m.forRelease()
	defer cancel()
	_ = queue.Release(ctx, m.queue, t) // nobody is there to be told
}
