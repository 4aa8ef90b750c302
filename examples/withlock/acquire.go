package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// hold is the lock while it is held: a Hold of a Semaphore, or a Mutex.
type hold interface {
	Token() int64
	Lost() <-chan struct{}
	Release() error
}

// locker is what can be acquired: a Semaphore, or a Mutex.
type locker interface {
	acquire(ctx context.Context) (hold, error)
	tryAcquire(ctx context.Context) (hold, bool, error)
}

func newLocker(q queue.TicketQueue, most int, options []lock.Option) locker {
	if most > 0 {
		return semaphore{lock.NewSemaphore(q, most, options...)}
	}
	return mutex{lock.New(q, options...)}
}

type mutex struct{ *lock.Mutex }

func (m mutex) acquire(ctx context.Context) (hold, error) { return m, m.Lock(ctx) }

func (m mutex) tryAcquire(ctx context.Context) (hold, bool, error) {
	ok, err := m.TryLock(ctx)
	return m, ok, err
}

func (m mutex) Release() error { return m.Unlock() }

type semaphore struct{ *lock.Semaphore }

func (s semaphore) acquire(ctx context.Context) (hold, error) { return s.Acquire(ctx) }

func (s semaphore) tryAcquire(ctx context.Context) (hold, bool, error) { return s.TryAcquire(ctx) }

// held is the lock that was acquired, and what closes the connections of its queue.
type held struct {
	hold
	close func()
}

// acquire takes the lock. It returns an exit code with every error.
func acquire(s settings, signals <-chan os.Signal) (held, int, error) {
	q, closeQueue, err := s.place.Open()
	if err != nil {
		return held{}, exitUsage, err
	}
	var ticket queue.Ticket                                      // the latest
	arrival, arrived := context.WithCancel(context.Background()) // ends when it is known
	defer arrived()
	options := []lock.Option{lock.WithTrace(&lock.Trace{Registered: func(t queue.Ticket) {
		ticket = t
		arrived()
	}})}
	showEnd := func() {}
	if !s.quiet {
		p := newProgress(os.Stderr)
		options, showEnd = append(options, lock.WithTrace(p.trace())), p.end
	}
	if s.wait > 0 {
		options = append(options, lock.WithMaxWait(s.wait))
	}
	h, code, err := await(newLocker(q, s.max, options), s.try, signals, arrival)
	if err == error(lock.ErrBusy) {
		err = busy(q)
	}
	showEnd()
	if err != nil {
		leave(q, s.max, ticket)
		closeQueue()
		return held{}, code, err
	}
	return held{h, closeQueue}, 0, nil
}

// leave takes the ticket of a call that has failed out of the line.
func leave(q queue.TicketQueue, most int, ticket queue.Ticket) {
	if most > 0 {
		view, err := queue.Share(q, most)
		if err != nil {
			return
		}
		q = view
	}
	cli.Leave(q, ticket)
}

// await waits for the lock, or for a signal. One that comes before the ticket waits for it:
// a ticket that is still on its way would come after this process has ended.
func await(l locker, try bool, signals <-chan os.Signal, arrival context.Context) (hold, int, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	arrival, over := context.WithCancel(arrival)
	defer over()
	forget := onSignal(signals, func(signal os.Signal) {
		cli.Sleep(arrival, cli.LeaveTimeout)
		cancel(caught{signal})
	})
	h, err := acquireOrTry(ctx, l, try)
	over()
	forget()

	var c caught
	switch {
	case errors.As(context.Cause(ctx), &c):
		if err == nil { // both at once
			err = errors.Join(c, h.Release())
		}
		return nil, c.exitCode(), err
	case errors.Is(err, lock.ErrBusy):
		return nil, exitBusy, err
	}
	return h, exitUnavailable, err
}

func acquireOrTry(ctx context.Context, l locker, try bool) (hold, error) {
	if !try {
		return l.acquire(ctx)
	}
	h, ok, err := l.tryAcquire(ctx)
	if err == nil && !ok {
		err = lock.ErrBusy
	}
	return h, err
}

// busy is the error of a try: which lock it is, and what holds it.
func busy(q queue.TicketQueue) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	members, _ := queue.Members(ctx, q) // without them it is busy all the same
	var holders []string
	for _, m := range members {
		if m.Owns() {
			at := fmt.Sprintf("pid %d", m.PID)
			if m.Host != "" {
				at += " on " + cli.Printable(m.Host)
			}
			holders = append(holders, strings.TrimSpace(fmt.Sprintf("%s (%s)", cli.Printable(m.Label), at)))
		}
	}
	if len(holders) == 0 {
		return fmt.Errorf("%v: %w", q, lock.ErrBusy)
	}
	return fmt.Errorf("%v: %w; held by %s", q, lock.ErrBusy, strings.Join(holders, ", "))
}

// caught is the end of a wait by a signal.
type caught struct{ signal os.Signal }

func (c caught) Error() string { return c.signal.String() }

func (c caught) exitCode() int {
	number, _ := c.signal.(syscall.Signal)
	return exitSignal + int(number)
}

// release releases the lock after the command has ended with that code.
func release(h hold, code int, err error) (int, error) {
	releaseErr := h.Release()
	if errors.Is(releaseErr, lock.ErrLost) {
		code = exitLost
		if err == nil { // the command has run
			releaseErr = fmt.Errorf("another one may have run beside the command: check what it did: %w", releaseErr)
		}
	}
	// Any other error says nothing about the time when the command ran.
	return code, errors.Join(err, releaseErr)
}
