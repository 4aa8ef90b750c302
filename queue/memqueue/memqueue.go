// Package memqueue keeps a ticket queue in memory: one mutex, one slice, and
// a loop over it for every question. It is meant to be obviously right, not
// fast: the backends are tested against it, tests of timing run on it in a
// testing/synctest bubble (it starts no goroutine and no timer), and
// benchmarks have it as their upper bound.
package memqueue

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// Queue is a ticket queue in memory, for the goroutines of one process. It
// implements every optional interface of package queue.
type Queue struct {
	lease time.Duration // 0: owners never die

	mu   sync.Mutex
	last int64    // the last number given out
	line []*entry // in order of number
}

// entry is one ticket in line.
type entry struct {
	ticket queue.Ticket
	since  time.Time
	seen   time.Time       // the last sign of life
	wake   chan queue.Wake // nil while nobody watches
}

var (
	_ queue.TryRegisterer = (*Queue)(nil)
	_ queue.Releaser      = (*Queue)(nil)
	_ queue.Refresher     = (*Queue)(nil)
	_ queue.Watcher       = (*Queue)(nil)
	_ queue.Positioner    = (*Queue)(nil)
	_ queue.Lister        = (*Queue)(nil)
)

// New makes an empty queue. With a lease above 0 a ticket that was not
// refreshed for so long is a dead owner's; with 0 no owner ever dies.
func New(lease time.Duration) *Queue {
	return &Queue{lease: lease}
}

// String names the queue in errors.
func (q *Queue) String() string { return "memory queue" }

// Register implements [queue.TicketQueue].
func (q *Queue) Register(ctx context.Context) (queue.Ticket, error) {
	if err := ctx.Err(); err != nil {
		return queue.Ticket{}, err
	}
	defer q.begin(ctx)()
	return q.join(), nil
}

// TryRegister implements [queue.TryRegisterer].
func (q *Queue) TryRegister(ctx context.Context) (queue.Ticket, bool, error) {
	if err := ctx.Err(); err != nil {
		return queue.Ticket{}, false, err
	}
	defer q.begin(ctx)()
	if len(q.line) > 0 {
		return queue.Ticket{}, false, nil
	}
	return q.join(), true, nil
}

// join puts a new ticket at the end of the line. q.mu is held.
func (q *Queue) join() queue.Ticket {
	now := time.Now()
	q.last = max(q.last, now.UnixMicro()) + 1
	t := queue.Ticket{Number: q.last, Member: strconv.FormatInt(q.last, 10), Ahead: len(q.line), Lease: q.lease}
	q.line = append(q.line, &entry{ticket: t, since: now, seen: now})
	return t
}

// IsHead implements [queue.TicketQueue].
func (q *Queue) IsHead(ctx context.Context, t queue.Ticket) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	i, err := q.find(t)
	return i == 0 && err == nil, err
}

// Position implements [queue.Positioner].
func (q *Queue) Position(ctx context.Context, t queue.Ticket) (queue.Place, error) {
	if err := ctx.Err(); err != nil {
		return queue.Place{}, err
	}
	defer q.begin(ctx)()
	ahead, err := q.find(t)
	return queue.Place{Ahead: ahead}, err
}

// find returns t's place in line. q.mu is held.
func (q *Queue) find(t queue.Ticket) (int, error) {
	i := slices.IndexFunc(q.line, func(e *entry) bool { return e.ticket.Member == t.Member && e.ticket.Number == t.Number })
	if i < 0 {
		return 0, queue.ErrNotQueued
	}
	return i, nil
}

// Remove implements [queue.TicketQueue].
func (q *Queue) Remove(ctx context.Context, t queue.Ticket) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	i, err := q.find(t)
	if err != nil {
		return err
	}
	q.line = slices.Delete(q.line, i, i+1)
	if i == 0 {
		q.grant()
	}
	return nil
}

// Release implements [queue.Releaser]; there is nothing to clean up.
func (q *Queue) Release(ctx context.Context, t queue.Ticket) error {
	return q.Remove(ctx, t)
}

// CleanupStale implements [queue.TicketQueue].
func (q *Queue) CleanupStale(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.begin(ctx)()
	return nil
}

// begin locks q.mu and removes the dead heads. What it returns unlocks it again
// and tells whom this call has evicted.
func (q *Queue) begin(ctx context.Context) (end func()) {
	q.mu.Lock()
	evicted := q.evict()
	return func() {
		q.mu.Unlock()
		queue.Evicted(ctx, evicted)
	}
}

// evict removes the dead heads, and tells the head that follows them. q.mu is
// held.
func (q *Queue) evict() (evicted []queue.Ticket) {
	for len(q.line) > 0 && q.dead(q.line[0]) {
		t := q.line[0].ticket
		t.Ahead = 0
		evicted = append(evicted, t)
		q.line = slices.Delete(q.line, 0, 1)
	}
	if len(evicted) > 0 {
		q.grant()
	}
	return evicted
}

// dead reports whether e's owner is gone. q.mu is held.
func (q *Queue) dead(e *entry) bool {
	return q.lease > 0 && time.Since(e.seen) >= q.lease
}

// grant tells the head that it is. q.mu is held.
func (q *Queue) grant() {
	if len(q.line) == 0 || q.line[0].wake == nil {
		return
	}
	wake := q.line[0].wake
	select {
	case <-wake: // a Look that nobody has read yet
	default:
	}
	wake <- queue.WakeOwner
}

// IsEmpty implements [queue.TicketQueue].
func (q *Queue) IsEmpty(ctx context.Context) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.line) == 0, nil
}

// MaybeCleanup implements [queue.TicketQueue]. An empty queue in memory has
// nothing to remove: the last number given out stays, for want of a better
// way to keep the promise that numbers never repeat.
func (q *Queue) MaybeCleanup(context.Context) {}

// Refresh implements [queue.Refresher].
func (q *Queue) Refresh(ctx context.Context, t queue.Ticket) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	i, err := q.find(t)
	if err != nil {
		return err
	}
	if q.dead(q.line[i]) { // not evicted yet, and not to be revived
		return queue.ErrNotQueued
	}
	q.line[i].seen = time.Now()
	return nil
}

// Watch implements [queue.Watcher].
func (q *Queue) Watch(_ context.Context, t queue.Ticket) (<-chan queue.Wake, func(), error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wake := make(chan queue.Wake, 1)
	wake <- queue.WakeHint // the line may have moved since t was taken
	if i, err := q.find(t); err == nil {
		q.line[i].wake = wake
	}
	return wake, func() { q.unwatch(t) }, nil
}

func (q *Queue) unwatch(t queue.Ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i, err := q.find(t); err == nil {
		q.line[i].wake = nil
	}
}

// Members implements [queue.Lister].
func (q *Queue) Members(ctx context.Context) ([]queue.Member, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	members := make([]queue.Member, len(q.line))
	for i, e := range q.line {
		t := e.ticket
		t.Ahead = i
		members[i] = queue.Member{Ticket: t, Since: e.since, LastSeen: e.seen, Dead: q.dead(e)}
	}
	return members, nil
}
