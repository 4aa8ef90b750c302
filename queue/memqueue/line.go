package memqueue

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

// kind is the use of a line, for as long as a ticket is in it.
type kind string

const (
	exclusive kind = "a Mutex (exclusive)"
	shared    kind = "a Semaphore (shared)"
)

// forever is the Recheck of a waiter behind owners that do not die.
const forever = time.Hour

// line is all that the views of one queue have in common. Its methods are called
// with mu held.
type line struct {
	mu      sync.Mutex
	last    int64    // the last number given out
	entries []*entry // in order of number
}

// entry is one ticket in line.
type entry struct {
	ticket queue.Ticket
	n      int // it owns when fewer than n are before it
	kind   kind
	label  string
	since  time.Time
	seen   time.Time       // the last sign of life
	owner  bool            // it has come to own; it stays so
	wake   chan queue.Wake // nil while nothing listens
}

// dead reports whether e's owner is gone.
func (e *entry) dead() bool {
	return e.ticket.Lease > 0 && time.Since(e.seen) >= e.ticket.Lease
}

// owners is the n of the view that e was taken through; 0 if it was none.
func (e *entry) owners() int {
	if e.kind == exclusive {
		return 0
	}
	return e.n
}

// accepts returns an error if a ticket of that kind cannot join.
func (l *line) accepts(k kind) error {
	if len(l.entries) == 0 || l.entries[0].kind == k {
		return nil
	}
	return fmt.Errorf("the line is held as %s; %s cannot join it: give each a queue of its own", l.entries[0].kind, k)
}

// join puts a new ticket at the end of the line.
func (l *line) join(n int, k kind, o options) queue.Ticket {
	now := time.Now()
	l.last = max(l.last, now.UnixMicro()) + 1
	t := queue.Ticket{
		Number: l.last,
		Member: strconv.FormatInt(l.last, 10),
		Ahead:  max(0, len(l.entries)-n+1),
		Lease:  o.lease,
	}
	l.entries = append(l.entries, &entry{ticket: t, n: n, kind: k, label: o.label, since: now, seen: now, owner: t.Ahead == 0})
	return t
}

// find returns how many are before t.
func (l *line) find(t queue.Ticket) (int, error) {
	i := slices.IndexFunc(l.entries, func(e *entry) bool { return e.ticket.Member == t.Member && e.ticket.Number == t.Number })
	if i < 0 {
		return 0, queue.ErrNotQueued
	}
	return i, nil
}

// remove takes t out of the line.
func (l *line) remove(t queue.Ticket) error {
	i, err := l.find(t)
	if err != nil {
		return err
	}
	l.entries = slices.Delete(l.entries, i, i+1)
	l.grant()
	return nil
}

// evict removes the dead among the first n until none of these is dead.
func (l *line) evict(n int) (evicted []queue.Ticket) {
	for i := 0; i < min(n, len(l.entries)); {
		e := l.entries[i]
		if !e.dead() {
			i++
			continue
		}
		e.ticket.Ahead = 0
		evicted = append(evicted, e.ticket)
		l.entries = slices.Delete(l.entries, i, i+1)
	}
	if len(evicted) > 0 {
		l.grant()
	}
	return evicted
}

// grant tells all that have come to own, each by its own n.
func (l *line) grant() {
	for i, e := range l.entries {
		if e.owner || i >= e.n {
			continue
		}
		e.owner = true
		if e.wake != nil {
			wakeup.Put(e.wake, queue.WakeOwner)
		}
	}
}

// recheck is how long the i-th may rely on being woken: until the lease of one of
// the first n may end.
func (l *line) recheck(i, n int) time.Duration {
	if l.entries[i].wake == nil {
		return 0
	}
	d := forever
	for _, e := range l.entries[:n] {
		if lease := e.ticket.Lease; lease > 0 {
			d = min(d, lease-time.Since(e.seen))
		}
	}
	return max(d, 1) // not 0, which says that it must poll
}

// refresh notes a sign of life.
func (l *line) refresh(t queue.Ticket) error {
	i, err := l.find(t)
	if err != nil {
		return err
	}
	if l.entries[i].dead() { // not evicted yet, and not to be revived
		return queue.ErrNotQueued
	}
	l.entries[i].seen = time.Now()
	return nil
}

// watch begins to listen for t, whose line may have moved since it was taken.
func (l *line) watch(t queue.Ticket) (<-chan queue.Wake, func()) {
	wake := make(chan queue.Wake, 1)
	wake <- queue.WakeHint
	i, err := l.find(t)
	if err != nil {
		return wake, func() {}
	}
	e := l.entries[i]
	e.wake = wake
	return wake, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if e.wake == wake { // and not that of a later call
			e.wake = nil
		}
	}
}

// members lists the line. All owners are of this process.
func (l *line) members() []queue.Member {
	host, _ := os.Hostname() // it is for people, and may be empty
	members := make([]queue.Member, len(l.entries))
	for i, e := range l.entries {
		t := e.ticket
		t.Ahead = i
		members[i] = queue.Member{
			Ticket: t, Owners: e.owners(), Host: host, PID: os.Getpid(),
			Since: e.since, LastSeen: e.seen, Label: e.label, Dead: e.dead(),
		}
	}
	return members
}
