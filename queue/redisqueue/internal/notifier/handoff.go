package notifier

import (
	"context"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

// A hand-off in this process. When the owner of a line gives up its ticket, and the
// ticket directly behind it is a waiter of this process, that one is granted at once:
// it need not wait for the release to reach the server. These are the conditions, all
// of them checked by GiveUp at one moment:
//
//  1. The line is exclusive. (Of a shared one the server decides.)
//  2. The ticket that is given up owns: the server said so when it was registered, by
//     a message, or when it was looked at; or it was granted here, by this rule, and
//     that was not taken back.
//  3. The other stands directly behind it. The server answered which entry was directly
//     in front when it was registered; none is ever put between two, because numbers
//     ascend. If the one in front leaves without having owned, and the server has
//     confirmed that, the one behind it moves up.
//  4. Both are believed alive by this process's own clock: so are their leases on the
//     server, which began later.
//
// Then no other ticket can own on the server before the release is executed, and none
// but the next afterwards; as long as the server has not lost data. So a grant is only
// as good as the releases that it is built on, which are its chain. Each answer must
// name as the new owner the ticket that was granted. If one says "gone", or names
// another, or does not come, the last of the chain, which is the only one that may
// still be held, is taken back to a look: a WakeHint follows its WakeOwner, it grants
// no other any more, and its look waits until all releases of the chain are answered.
// So it does no harm if they are executed in another order than they were sent in (it
// happens after a lost reply), in which the answers name others.
//
// A release of a ticket that was granted here, and is not the first on the server yet,
// takes it out of the line all the same, and its answer is the server's word: "gone" if
// the ticket was lost, and with it the hold.

// chain is a row of releases under way, each of which has handed on to the next. It is
// guarded by its notifier's mutex, but for settled.
type chain struct {
	last    *waiter       // the last that was granted, unless it was confirmed, or given up
	pending int           // how many releases are not answered
	settled chan struct{} // closed when pending is 0
}

// Leaving is a ticket that was given up, whose release is under way.
type Leaving struct {
	notifier *Notifier
	waiter   *waiter
	chain    *chain // nil: it has handed on to none, and was not granted here
	next     string // the entry that it has handed on to; empty if to none
}

// Ordered reports whether the release is one of a chain, which should reach the server
// in the order of the chain.
func (l *Leaving) Ordered() bool { return l != nil && l.chain != nil }

// GiveUp forgets a ticket's waiter, because the ticket is about to be released, and
// hands on to the next if it can. Answered must be called then.
func (n *Notifier) GiveUp(token string) *Leaving {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.waiters[token]
	if w == nil {
		return nil
	}
	n.dropLocked(w)
	l := &Leaving{notifier: n, waiter: w}
	if c := w.chain; c != nil && c.pending > 0 {
		l.chain = c
		if c.last == w {
			c.last = nil
		}
	}
	if next := n.behind[w.Entry]; n.mayHandOn(w, next) {
		l.handOn(next)
	}
	if l.chain != nil {
		l.chain.pending++
	}
	return l
}

// mayHandOn checks the conditions, of which the first is that Front is known.
func (n *Notifier) mayHandOn(w, next *waiter) bool {
	if next == nil || !w.Owns || next.granted || next.Owns {
		return false
	}
	now := time.Now()
	return now.Before(w.Until) && now.Before(next.Until)
}

func (l *Leaving) handOn(next *waiter) {
	if l.chain == nil {
		l.chain = &chain{settled: make(chan struct{})}
	}
	l.next, l.chain.last, next.chain = next.Entry, next, l.chain
	next.grant()
}

// Answered says how a release went: whether the ticket was in line, which the server
// has confirmed, and which ticket it named as the new owner.
func (l *Leaving) Answered(removed bool, named string) {
	if l == nil {
		return
	}
	n, c := l.notifier, l.chain
	n.mu.Lock()
	defer n.mu.Unlock()
	if next := n.behind[l.waiter.Entry]; next != nil && removed && !l.waiter.Owns {
		n.moveUp(next, l.waiter.Front)
	}
	if c == nil {
		return
	}
	c.pending--
	switch {
	case l.next == "":
	case !removed || named != l.next:
		c.takeBack()
	case c.last != nil && c.last.Entry == named:
		c.last.chain, c.last = nil, nil // confirmed
	}
	if c.pending == 0 {
		c.takeBack() // no answer has named it
		close(c.settled)
	}
}

// moveUp puts a waiter behind another entry, because the one between has left.
func (n *Notifier) moveUp(w *waiter, front string) {
	delete(n.behind, w.Front)
	w.Front = front
	if front != "" {
		n.behind[front] = w
	}
}

// takeBack makes the last of a chain look whether it owns.
func (c *chain) takeBack() {
	w := c.last
	if w == nil {
		return
	}
	c.last = nil
	w.Owns, w.granted, w.blind = false, false, true
	select {
	case <-w.wake: // the grant, if it was not read yet
	default:
	}
	wakeup.Put(w.wake, queue.WakeHint)
}

// Settle waits until the releases are answered that a ticket's grant was built on:
// before, the server does not know better.
func (n *Notifier) Settle(ctx context.Context, token string) error {
	n.mu.Lock()
	w := n.waiters[token]
	if w == nil || w.chain == nil {
		n.mu.Unlock()
		return nil
	}
	settled := w.chain.settled
	n.mu.Unlock()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Renewed notes until when a ticket is believed. An older answer never shortens it.
func (n *Notifier) Renewed(token string, until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.waiters[token]; w != nil && until.After(w.Until) {
		w.Until = until
	}
}
