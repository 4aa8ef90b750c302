package notifier

import (
	"context"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

// connection is a notifier's knowledge of its subscription: whether there is one and
// whether it works, for which watches and presences it is there, and which server sees
// it. It is guarded by the notifier's mutex.
type connection struct {
	notifier *Notifier

	subscription *subscription          // nil when nothing has needed it for a while
	watches      int                    // how many have not been stopped, and one for each presence
	presences    map[*Presence]struct{} // those that have tickets
	presenceOf   map[string]*Presence   // of each of these tickets, by its token
	idle         *time.Timer            // ends the subscription; runs when watches is 0

	listening bool      // the server has confirmed the subscription, and it has not broken since
	upSince   time.Time // when it was confirmed

	stale   bool          // it is to be made anew, see doubtLocked
	renewed time.Duration // how long it must be up before it is made anew again; 0: firstDoubt

	run        string        // of the server that sees the subscription; empty if that is not known
	introduced bool          // the server was asked for it on this connection
	asked      time.Time     // when it was asked last
	seen       chan struct{} // closed when that is found out, or cannot be; nil while it is not being found out
}

// subscribeLocked makes sure that there is a subscription, or that one is on
// its way.
func (c *connection) subscribeLocked() {
	if c.idle != nil {
		c.idle.Stop()
	}
	if c.subscription == nil {
		if len(c.presences) > 0 {
			c.seen = make(chan struct{})
		}
		c.subscription = newSubscription(c.notifier)
		go c.subscription.run()
	}
}

// unwatchedLocked ends the subscription after a while, when there is no watch and no
// presence left.
func (c *connection) unwatchedLocked() {
	c.watches--
	if c.watches > 0 {
		return
	}
	if c.idle == nil {
		c.idle = time.AfterFunc(idleTimeout, c.unsubscribe)
	} else {
		c.idle.Reset(idleTimeout)
	}
}

// unsubscribe ends the subscription, unless a watch has begun when the timer had
// already fired. A ticket that is about to be watched may miss something until
// there is another.
func (c *connection) unsubscribe() {
	c.notifier.mu.Lock()
	defer c.notifier.mu.Unlock()
	if c.watches == 0 && c.subscription != nil {
		c.subscription.cancel()
		c.subscription, c.listening, c.stale, c.run, c.introduced = nil, false, false, "", false
		c.knownLocked()
		c.notifier.changedLocked()
	}
}

// up is called when the server has confirmed the subscription.
func (c *connection) up(s *subscription) {
	c.notifier.mu.Lock()
	defer c.notifier.mu.Unlock()
	if c.subscription == s && !c.listening {
		c.listening, c.upSince = true, time.Now()
		c.introduceLocked()
		for p := range c.presences {
			if p.armed { // the connection may not last until the server has said that it sees it
				p.showLocked()
			}
		}
		c.notifier.changedLocked()
	}
}

// down is called when the subscription has broken. It reports whether it was up.
func (c *connection) down(s *subscription) (was bool) {
	c.notifier.mu.Lock()
	defer c.notifier.mu.Unlock()
	was = c.subscription == s && c.listening
	if was {
		c.listening, c.stale, c.run, c.introduced = false, false, "", false
		for p := range c.presences {
			p.brokenLocked()
		}
		c.notifier.changedLocked()
	}
	if c.subscription == s {
		c.knownLocked()
	}
	return was
}

// ended is called when the subscription has ended for good: it was cancelled, or
// its client is closed. Then every waiter looks, and finds that it is.
func (c *connection) ended(s *subscription) {
	c.down(s)
	c.notifier.mu.Lock()
	defer c.notifier.mu.Unlock()
	if c.subscription != s {
		return
	}
	c.subscription = nil
	for _, w := range c.notifier.waiters.byToken {
		if !w.Owns {
			wakeup.Put(w.wake, queue.WakeHint)
		}
	}
}

// introduceLocked finds out whether the server sees the subscription, for the
// presences. c.seen is closed when it is known.
func (c *connection) introduceLocked() {
	if c.seen == nil {
		c.seen = make(chan struct{})
	}
	for p := range c.presences { // any will do: they have one client
		c.asked = time.Now()
		go c.introduce(c.subscription, c.upSince, p)
		return
	}
	c.knownLocked()
}

// verifyLocked asks again whether the server that answers the scripts sees the subscription:
// a client that changes over to another server leaves the subscription where it is, which
// shows the process to a server that has no tickets any more.
func (c *connection) verifyLocked() {
	for p := range c.presences {
		c.asked = time.Now()
		go c.verify(c.subscription, c.upSince, p)
		return
	}
}

// introduce asks about the connection that was confirmed at the given time.
func (c *connection) introduce(s *subscription, upSince time.Time, p *Presence) {
	run, _ := c.ask(s, p) // without it the leases decide, and ponged asks again
	c.notifier.mu.Lock()
	defer c.notifier.mu.Unlock()
	if !c.isSameLocked(s, upSince) {
		return
	}
	c.run, c.introduced = run, true
	c.knownLocked()
	if run == "" {
		return
	}
	for p := range c.presences {
		p.seenLocked()
	}
}

// verify has the connection made anew if the server does not see it.
func (c *connection) verify(s *subscription, upSince time.Time, p *Presence) {
	run, err := c.ask(s, p)
	c.notifier.mu.Lock()
	defer c.notifier.mu.Unlock()
	if err == nil && run != c.run && c.isSameLocked(s, upSince) {
		c.doubtLocked()
	}
}

// ask returns what Seen says within the grace time, and before it is due to be asked again.
func (c *connection) ask(s *subscription, p *Presence) (run string, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, min(p.grace, silence))
	defer cancel()
	done := make(chan struct{})
	var answer struct {
		run string
		err error
	}
	go func() {
		defer close(done)
		answer.run, answer.err = p.server.Seen(ctx, c.notifier.channel())
	}()
	select {
	case <-done:
		return answer.run, answer.err
	case <-ctx.Done(): // which a call of a client need not obey
		return "", ctx.Err()
	}
}

// isSameLocked reports whether the connection has not broken since it was confirmed at the
// given time.
func (c *connection) isSameLocked(s *subscription, upSince time.Time) bool {
	return c.subscription == s && c.listening && c.upSince == upSince
}

func (c *connection) knownLocked() {
	if c.seen != nil {
		close(c.seen)
		c.seen = nil
	}
}

// lookAfter is the time from one look at the connection to the next. A look sends a ping,
// or, as long as one is not answered (silent), finds out whether to give the connection up.
func (c *connection) lookAfter(silent bool) time.Duration {
	c.notifier.mu.Lock()
	defer c.notifier.mu.Unlock()
	if silent {
		return c.partLocked(8)
	}
	return c.partLocked(4)
}

// doubtLocked is called when a second wake-up in a row did not come, or the server that
// answers does not see the subscription. Then it may be at a server that is not the primary
// any more: a client that changes over to another leaves it where it is, and that server may
// be cut off from those that would end it. So it is made anew; more and more seldom where
// that does not help, also if others come in between: where views of different n share a
// line, say, wake-ups are missed on a connection that works.
func (c *connection) doubtLocked() {
	up := time.Since(c.upSince)
	if !c.listening || c.stale || up < max(firstDoubt, c.renewed) {
		return
	}
	if up > 2*longestDoubt {
		c.renewed = 0
	}
	c.stale = true
	c.renewed = min(max(2*c.renewed, firstDoubt), longestDoubt)
}

// isStale reports whether the connection is to be made anew.
func (c *connection) isStale(s *subscription) bool {
	c.notifier.mu.Lock()
	defer c.notifier.mu.Unlock()
	return c.subscription == s && c.stale
}

// partLocked is one of so many parts of the shortest grace time, and at most silence.
func (c *connection) partLocked(parts time.Duration) time.Duration {
	part := silence
	for p := range c.presences {
		part = min(part, p.grace/parts)
	}
	return part
}

// ponged is called when the connection has answered a ping that was sent at the given
// time.
func (c *connection) ponged(s *subscription, sent time.Time) {
	c.notifier.mu.Lock()
	defer c.notifier.mu.Unlock()
	if c.subscription != s {
		return
	}
	for p := range c.presences {
		if p.shown {
			p.signLocked(sent)
		}
		p.armNextLocked()
	}
	switch {
	case len(c.presences) == 0:
	case c.run != "" && time.Since(c.asked) >= silence:
		c.verifyLocked()
	case c.run == "" && c.seen == nil:
		c.introduceLocked() // the server was loading, say, or its primary was about to change
	}
}

// silent is called again and again while the connection has not answered a ping that was
// sent at the given time. The server may have closed the connection since the ping
// before, without its being heard here. So a presence sends signs soon: they must arrive
// within the grace time after that ping, of which a quarter was over when this one was
// sent.
//
// It reports whether to give the connection up: after half the grace time, and with a
// presence only if the server has answered a script meanwhile, so that it is the
// connection that does not work. To close it while nothing answers could reach a server
// that is merely slow, or cut off in one direction, which would take that for the end of
// the process.
func (c *connection) silent(sent time.Time) bool {
	c.notifier.mu.Lock()
	defer c.notifier.mu.Unlock()
	giveUp := time.Since(sent) >= c.partLocked(2)
	for p := range c.presences {
		p.showLocked()
		giveUp = giveUp && p.sent.After(sent)
	}
	return giveUp
}
