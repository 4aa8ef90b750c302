package notifier

import (
	"context"
	"slices"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

// A hand-off in this process. When the owner of a line gives up its ticket, and the
// ticket directly behind it is one of this process that is watched, that one is granted at
// once: it need not wait for the release to reach the server. One that is not watched may
// never hear of it, and its next look would wait for the release. These are the
// conditions, all of them checked by GiveUp at one moment:
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
//     server, which began later. With crash detection, the last sign of life counts, too.
//
// Then no other ticket can own on the server before the release is executed, and none
// but the next afterwards; as long as the server has not lost data. So a grant is only
// as good as the releases that it is built on, which are its chain. The last of the
// chain is the only one that may still be held. It is confirmed when any answer names
// it as the new owner. It is taken back, by a WakeHint that follows its WakeOwner, and
// grants no other any more,
//
//   - at once, even if others are under way or hang, when a release of the chain is
//     answered "gone", or names one that is not of the chain, or fails, or has no answer
//     for a lease;
//   - when all are answered and none has named it.
//
// An answer that names none while others are under way, or one further on in the chain,
// says nothing against it: the releases were executed in another order than they were
// sent in (it happens after a lost reply), and the ticket of one that is under way is
// still in line, in front, so that no other owns. Nor does "gone" after a lost reply.
// Until it is decided, a look of the ticket waits: the server does not know better yet.
//
// A release of a ticket that was granted here, and is not the first on the server yet,
// takes it out of the line all the same, and its answer is the server's word: "gone" if
// the ticket was lost, and with it the hold.

// chain is a row of releases under way, each of which has handed on to the next. It is
// guarded by its notifier's mutex.
type chain struct {
	last    *waiter    // the last that was granted, until it is decided or given up
	pending []*Leaving // releases, in order, from the first that is not answered
}

// decide ends the doubt about the last of a chain, and returns it.
func (c *chain) decide() *waiter {
	w := c.last
	if w != nil {
		close(w.decided)
		c.last, w.chain = nil, nil
	}
	return w
}

// Leaving is a ticket that was given up, whose release is under way.
type Leaving struct {
	notifier *Notifier
	waiter   *waiter
	chain    *chain // nil: it has handed on to none, and was not granted here
	next     string // the entry that it has handed on to; empty if to none
	answered bool
}

// leave begins to give up a ticket, and hands on to the next, the one directly behind it,
// if that may be. n.mu is held.
func leave(n *Notifier, w, next *waiter) *Leaving {
	l := &Leaving{notifier: n, waiter: w, chain: w.chain}
	if l.chain != nil {
		l.chain.decide() // its own release will say
	}
	if w.mayHandOn(next) {
		l.handOn(next)
	}
	if l.chain != nil {
		l.chain.pending = append(l.chain.pending, l)
	}
	return l
}

// Ordered reports whether the release is one of a chain, which should reach the server
// in the order of the chain.
func (l *Leaving) Ordered() bool { return l.chain != nil }

// mayHandOn checks the conditions, of which the first is that Front is known.
func (w *waiter) mayHandOn(next *waiter) bool {
	if next == nil || next.watches == 0 || !w.Owns || next.granted || next.Owns {
		return false
	}
	now := time.Now()
	return now.Before(w.Until) && now.Before(next.Until) &&
		w.Presence.believedLocked(w.Token, now) && next.Presence.believedLocked(next.Token, now)
}

func (l *Leaving) handOn(next *waiter) {
	if l.chain == nil {
		l.chain = new(chain)
	}
	l.next, l.chain.last = next.Entry, next
	next.chain, next.decided = l.chain, make(chan struct{})
	next.grant()
}

// Answered says how a release went: whether the ticket was in line (or may have been, if
// a reply was lost) and is not any more, which the server has confirmed, and which ticket
// it named as the new owner.
func (l *Leaving) Answered(removed bool, named string) {
	n, c := l.notifier, l.chain
	n.mu.Lock()
	defer n.mu.Unlock()
	if next := n.waiters.behind[l.waiter.Entry]; next != nil && removed && !l.waiter.Owns {
		n.waiters.moveUp(next, l.waiter.Front)
	}
	if c == nil {
		return
	}
	another := named != "" && named != l.next && !c.releases(named)
	l.answered = true
	for len(c.pending) > 0 && c.pending[0].answered {
		c.pending = c.pending[1:]
	}
	switch {
	case removed && c.last != nil && c.last.Entry == named:
		c.decide() // confirmed
	case !removed, // the grant was built on it
		another,             // owns
		len(c.pending) == 0: // no answer has named it
		c.takeBack()
	}
}

// releases reports whether an entry is that of a ticket that was given up.
func (c *chain) releases(entry string) bool {
	return slices.ContainsFunc(c.pending, func(l *Leaving) bool { return l.waiter.Entry == entry })
}

// takeBack makes the last of a chain look whether it owns.
func (c *chain) takeBack() {
	w := c.decide()
	if w == nil {
		return
	}
	w.Owns, w.granted, w.blind = false, false, true
	select {
	case <-w.wake: // the grant, if it was not read yet: a hint does not displace it
	default:
	}
	wakeup.Put(w.wake, queue.WakeHint)
}

// Settle waits until a grant that the server has not confirmed is decided.
func (n *Notifier) Settle(ctx context.Context, token string) error {
	n.mu.Lock()
	var decided chan struct{}
	if w := n.waiters.byToken[token]; w != nil && w.chain != nil {
		decided = w.decided
	}
	n.mu.Unlock()
	if decided == nil {
		return nil
	}
	select {
	case <-decided:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Renewed notes until when a ticket is believed. An older answer never shortens it.
func (n *Notifier) Renewed(token string, until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.waiters.byToken[token]; w != nil && until.After(w.Until) {
		w.Until = until
	}
}
