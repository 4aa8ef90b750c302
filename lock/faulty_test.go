package lock_test

import (
	"context"
	"sync"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
)

// faulty is a queue in memory. A test can make its calls fail, in both ways: before is
// called first and its error fails the call, not applied; after is called last and its
// error fails the call although it was applied. Both get the name of the method and may
// block.
type faulty struct {
	*memqueue.Queue

	mu            sync.Mutex
	before, after func(ctx context.Context, method string) error
	calls         map[string]int
}

// leased is a queue in memory with tickets that have a lease, unless that is 0.
func leased(lease time.Duration) *memqueue.Queue {
	if lease == 0 {
		return memqueue.New()
	}
	return memqueue.New(memqueue.WithLease(lease))
}

func newFaulty(q *memqueue.Queue) *faulty {
	none := func(context.Context, string) error { return nil }
	return &faulty{Queue: q, before: none, after: none, calls: map[string]int{}}
}

// failBefore changes what happens before a call.
func (f *faulty) failBefore(before func(ctx context.Context, method string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

// failAfter changes what happens after a call.
func (f *faulty) failAfter(after func(ctx context.Context, method string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = after
}

// count returns how often method was called, and with "" how often any was.
func (f *faulty) count(method string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if method != "" {
		return f.calls[method]
	}
	sum := 0
	for _, n := range f.calls {
		sum += n
	}
	return sum
}

func (f *faulty) around(ctx context.Context, method string, call func() error) error {
	f.mu.Lock()
	f.calls[method]++
	before, after := f.before, f.after
	f.mu.Unlock()
	if err := before(ctx, method); err != nil {
		return err
	}
	if err := call(); err != nil {
		return err
	}
	return after(ctx, method)
}

func (f *faulty) Register(ctx context.Context) (t queue.Ticket, err error) {
	err = f.around(ctx, "Register", func() error { t, err = f.Queue.Register(ctx); return err })
	return t, err
}

func (f *faulty) TryRegister(ctx context.Context) (t queue.Ticket, ok bool, err error) {
	err = f.around(ctx, "TryRegister", func() error { t, ok, err = f.Queue.TryRegister(ctx); return err })
	return t, ok, err
}

func (f *faulty) Position(ctx context.Context, t queue.Ticket) (place queue.Place, err error) {
	err = f.around(ctx, "Position", func() error { place, err = f.Queue.Position(ctx, t); return err })
	return place, err
}

// Watch has its stop around too, as the method "stop".
func (f *faulty) Watch(ctx context.Context, t queue.Ticket) (<-chan queue.Wake, func(), error) {
	var wake <-chan queue.Wake
	unwatch := func() {}
	err := f.around(ctx, "Watch", func() (err error) { wake, unwatch, err = f.Queue.Watch(ctx, t); return err })
	stop := func() {
		_ = f.around(context.Background(), "stop", func() error { unwatch(); return nil })
	}
	return wake, stop, err
}

func (f *faulty) Refresh(ctx context.Context, t queue.Ticket) error {
	return f.around(ctx, "Refresh", func() error { return f.Queue.Refresh(ctx, t) })
}

func (f *faulty) Members(ctx context.Context) (list []queue.Member, err error) {
	err = f.around(ctx, "Members", func() error { list, err = f.Queue.Members(ctx); return err })
	return list, err
}

func (f *faulty) Release(ctx context.Context, t queue.Ticket) error {
	return f.around(ctx, "Release", func() error { return f.Queue.Release(ctx, t) })
}

// refreshing is a queue with the six methods that it must have, and the one
// without which its tickets could not be held.
type refreshing struct {
	queue.TicketQueue
	refresher
}

type refresher interface {
	Refresh(ctx context.Context, t queue.Ticket) error
}
