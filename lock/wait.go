package lock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// register takes a ticket and keeps it alive.
func (m *Mutex) register(ctx context.Context) (*heartbeat, error) {
	sent := time.Now()
	t, err := detached(ctx, m.queue.Register, func(t queue.Ticket, err error) {
		if err == nil {
			m.giveBack(t)
		}
	})
	if err != nil {
		return nil, unanswered(ctx, err)
	}
	return m.startHeartbeat(t, sent), nil
}

// tryRegister takes a ticket and keeps it alive if nobody is in line; it
// returns nil if somebody is.
func (m *Mutex) tryRegister(ctx context.Context) (*heartbeat, error) {
	type result struct {
		ticket queue.Ticket
		ok     bool
	}
	sent := time.Now()
	r, err := detached(ctx, func(ctx context.Context) (result, error) {
		t, ok, err := queue.TryRegister(ctx, m.queue)
		return result{t, ok}, err
	}, func(r result, err error) {
		if r.ok && err == nil {
			m.giveBack(r.ticket)
		}
	})
	if !r.ok || err != nil {
		return nil, unanswered(ctx, err)
	}
	return m.startHeartbeat(r.ticket, sent), nil
}

// unanswered says of a call that ended with ctx, before it had a ticket, what it
// had waited for.
func unanswered(ctx context.Context, err error) error {
	if err == nil || err != ctx.Err() {
		return err
	}
	return fmt.Errorf("%w before the queue answered", err)
}

// await waits until h's ticket owns the lock, and returns nil then. Otherwise
// the ticket is given back, which wakes the next in line: also when the
// hand-off and the end of ctx met. It returns queue.ErrNotQueued when the
// ticket was lost.
func (m *Mutex) await(ctx context.Context, h *heartbeat, began time.Time) error {
	owned := false
	defer func() { // deferred, because a hook may panic
		if !owned {
			m.quit(h)
		}
	}()
	m.options.trace.registered(h.ticket)
	if h.ticket.Ahead > 0 {
		if err := m.waitForHead(ctx, h); err != nil {
			return err
		}
	}
	for {
		before, err := m.own(h, began)
		if err != nil {
			return err
		}
		if before == nil {
			owned = true
			return nil
		}
		// Only a hold that was lost can still be there when another ticket is
		// the head. Its holder may be anywhere in its critical section.
		select {
		case <-before.ended:
		case <-h.lost:
			return queue.ErrNotQueued
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// own makes h's ticket, which is the head, the hold of this Mutex. If there is
// a hold already it returns that one. It returns queue.ErrNotQueued when the
// ticket may have been lost meanwhile.
func (m *Mutex) own(h *heartbeat, began time.Time) (before *hold, err error) {
	m.mu.Lock()
	if m.hold != nil {
		defer m.mu.Unlock()
		return m.hold, nil
	}
	if !h.own() {
		m.mu.Unlock()
		return nil, queue.ErrNotQueued
	}
	now := time.Now()
	m.hold = &hold{heartbeat: h, acquired: now, ended: make(chan struct{})}
	m.mu.Unlock()
	m.options.trace.acquired(h.ticket, now.Sub(began))
	return nil, nil
}

// waitForHead waits until h's ticket is the head. The order is: listen, look,
// wait for a wake-up or the next poll; a wake-up is a hint unless it is a
// Granted. Whether the ticket is still alive is looked at by own.
func (m *Mutex) waitForHead(ctx context.Context, h *heartbeat) (err error) {
	wake, stop := m.watch(ctx, h.ticket)
	defer func() { unwatch(stop, err) }()
	p := m.newPacer(h.ticket.Lease)
	p.watched = wake != nil
	w := watcher{mutex: m, heartbeat: h, pacer: p, wake: wake, ahead: h.ticket.Ahead}
	defer func() { err = w.explain(ctx, err) }()

	timer := time.NewTimer(0) // without a wake-up to rely on, the first look is now
	defer timer.Stop()
	if p.watched {
		timer.Reset(p.next(w.ahead))
	}
	for {
		select {
		case hint := <-wake:
			if hint == queue.WakeOwner {
				return nil
			}
		case <-timer.C:
		case <-h.lost:
			return queue.ErrNotQueued
		case <-ctx.Done():
			return ctx.Err()
		}
		if head, err := w.look(ctx); head || err != nil {
			return err
		}
		pause := p.next(w.ahead)
		if w.hinted {
			pause = 0
		}
		timer.Reset(pause)
	}
}

// watch begins to listen for t. If the queue cannot tell, polling must do.
func (m *Mutex) watch(ctx context.Context, t queue.Ticket) (<-chan queue.Wake, func()) {
	type result struct {
		wake <-chan queue.Wake
		stop func()
	}
	r, err := detached(ctx, func(ctx context.Context) (result, error) {
		wake, stop, err := queue.Watch(ctx, m.queue, t)
		return result{wake, stop}, err
	}, func(r result, _ error) {
		if r.stop != nil {
			r.stop()
		}
	})
	if r.stop == nil {
		r.stop = func() {}
	}
	if err != nil {
		r.wake = nil
	}
	return r.wake, r.stop
}

// unwatch ends the listening of a waiter whose waiting has ended with err. If it
// failed, the backend may hang, and stop with it.
func unwatch(stop func(), err error) {
	if err == nil {
		stop()
		return
	}
	waiting, cancel := context.WithTimeout(context.Background(), leaveGrace)
	defer cancel()
	_, _ = detached(waiting, func(context.Context) (struct{}, error) {
		stop()
		return struct{}{}, nil
	}, nil)
}

// watcher is one waiter's view of the line.
type watcher struct {
	mutex        *Mutex
	heartbeat    *heartbeat
	pacer        *pacer
	wake         <-chan queue.Wake
	hinted       bool      // while it last looked: the answer may be older than the hint
	ahead        int       // when last looked
	failingSince time.Time // zero when the last look succeeded
	failure      error     // of the last look; nil if it succeeded
}

// explain says of a wait that ctx has ended what there was to wait for: those
// in front, or a queue that does not answer.
func (w *watcher) explain(ctx context.Context, err error) error {
	ended := ctx.Err()
	switch {
	case ended == nil || errors.Is(err, queue.ErrNotQueued):
		return err
	case err != nil && !errors.Is(err, ended): // a look failed just when ctx ended
		return fmt.Errorf("%w while the queue did not answer: %w", ended, err)
	case err == nil:
		return nil
	case w.failure != nil:
		return fmt.Errorf("%w while the queue did not answer: %w", ended, w.failure)
	}
	return fmt.Errorf("%w with %d ahead in line", ended, w.ahead)
}

// look asks the queue whether the ticket is the head now.
func (w *watcher) look(ctx context.Context) (head bool, err error) {
	ahead, err := w.ask(ctx)
	if err != nil {
		return false, w.failed(ctx, err)
	}
	w.failingSince, w.failure = time.Time{}, nil
	if ahead == 0 {
		return true, nil
	}
	if ahead != w.ahead {
		w.ahead = ahead
		w.pacer.reset()
		w.mutex.options.trace.waiting(w.heartbeat.ticket, ahead)
	}
	return false, nil
}

// ask asks the queue how many are in front, and listens while it waits for the
// answer. A wake-up comes another way: a connection that hangs, of many, must not
// keep a waiter from a grant that was sent to it, nor from noticing that its
// ticket is lost.
func (w *watcher) ask(ctx context.Context) (ahead int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		ahead int
		err   error
	}
	answers := make(chan answer, 1) // nobody may be there to take it
	go func() {
		place, err := queue.Position(ctx, w.mutex.queue, w.heartbeat.ticket)
		answers <- answer{place.Ahead, err}
	}()
	w.hinted = false
	for {
		select {
		case a := <-answers:
			return a.ahead, a.err
		case hint := <-w.wake:
			if hint == queue.WakeOwner {
				return 0, nil
			}
			w.hinted = true
		case <-w.heartbeat.lost:
			return 0, queue.ErrNotQueued
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// failed decides whether a look that failed ends the waiting. A ticket with a
// lease keeps its place while the lease can last, so that a server that is
// restarted does not send everybody away; then the error is returned.
func (w *watcher) failed(ctx context.Context, err error) error {
	lease := w.heartbeat.lease
	if lease == 0 || errors.Is(err, queue.ErrNotQueued) || ctx.Err() != nil {
		return err
	}
	now := time.Now()
	if w.failingSince.IsZero() {
		w.failingSince = now
	}
	w.failure = err
	if now.Sub(w.failingSince) < lease {
		return nil
	}
	return err
}
