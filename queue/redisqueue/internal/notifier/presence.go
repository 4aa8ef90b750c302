package notifier

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/fifolock/fifolock/queue"
)

const (
	// seenTimeout is how long the first ticket of a connection waits for it to be
	// seen: about a round trip or two. A ticket that does not wait long enough is
	// seen a moment later.
	seenTimeout = 50 * time.Millisecond

	// signsUnderWay is how many signs of life may be unanswered at a time.
	signsUnderWay = 4
)

// Server has the requests of a presence to the server.
type Server struct {
	// Seen returns the id of the server's run, if the server sees a subscription to
	// the channel, and "" otherwise.
	Seen func(ctx context.Context, channel string) (run string, err error)

	// Sign runs a script about a ticket, which shows that its process lives, and renews
	// the ticket's lease if it is to. Then the lease also says that the server with that
	// run id has seen the process; if it is empty, it says what it said before. Sign
	// returns queue.ErrNotQueued if the ticket is not in line any more.
	Sign func(ctx context.Context, entry, run string, renew bool) error
}

// sign is what shows that the process lives.
type sign struct {
	entry string // of the ticket that it is about; empty: there is none
	renew bool
}

// Presence shows that the process lives, for the tickets of one line that were taken
// through one queue. The server takes a process for dead that is not subscribed, and of
// which no script was executed, for the grace time; each script clears the server's mark
// (see presence.lua). So a presence keeps the subscription open as long as there are
// tickets, asks it all the time whether it is alive, and, when it has broken, sends
// scripts until one is answered that was sent on a connection that is up again, and that the
// server has seen, if it may evict the process.
//
// Its clock is the process's own. A sign of life counts from when it was sent. It is a
// script that was answered; or a ping that was answered, on a connection that the server
// has seen, and on which a script was answered before, because a ping clears no mark.
// When the connection has broken and the last sign is nine tenths of the grace time old,
// the tickets are given up. As long as the connection has not broken the server has not
// marked the process, whatever else it does not answer: then the leases decide.
//
// All methods may be called concurrently.
type Presence struct {
	n      *Notifier
	line   string
	grace  time.Duration
	server Server

	// The rest is guarded by the notifier's mutex.
	tickets map[string]*present // by token
	unarmed []string            // tokens of those that may be due to say which server sees the process, see armNextLocked
	since   time.Time           // when the first of the tickets was about to be registered
	sent    time.Time           // when the last sign was sent that was answered
	armed   bool                // the server has seen the process since there are tickets: it may evict them
	shown   bool                // a script was answered that was sent on this connection, see Answered
	asking  *time.Timer         // sends the next sign; nil if none need be sent
	signs   int                 // under way
	expiry  *time.Timer         // gives the tickets up; runs from when the connection has broken until asking is nil
	due     time.Time           // when expiry is to fire
	late    bool                // it has fired late, and was put off
}

// present is a ticket in a presence.
type present struct {
	entry string        // empty until it is registered
	run   string        // of the server that its lease says has seen the process; empty if none
	lost  chan struct{} // closed when it is given up
}

// NewPresence makes a presence of tickets of a line, with a grace time. It does nothing until
// there is a ticket.
func (n *Notifier) NewPresence(line string, grace time.Duration, server Server) *Presence {
	return &Presence{n: n, line: line, grace: grace, server: server, tickets: make(map[string]*present)}
}

// Seen returns the run id of the server that sees the subscription, "" if none does.
func (p *Presence) Seen() (run string) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	return p.n.run
}

// Join adds a ticket that is about to be registered. If the connection is being made,
// it waits for it, but not for long.
func (p *Presence) Join(ctx context.Context, token string) {
	seen := p.join(token)
	if seen == nil {
		return
	}
	timer := time.NewTimer(seenTimeout)
	defer timer.Stop()
	select {
	case <-seen:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// join returns a channel that is closed when it is known whether the server
// sees the subscription; nil if it is known.
func (p *Presence) join(token string) <-chan struct{} {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	if len(p.tickets) == 0 {
		p.n.presences[p] = struct{}{}
		p.n.watches++
		p.since, p.late = time.Now(), false
	}
	p.tickets[token] = &present{lost: make(chan struct{})}
	p.n.presenceOf[token] = p
	p.armed = p.armed || p.n.run != ""
	p.n.subscribeLocked()
	if p.n.listening && !p.n.introduced && p.n.seen == nil {
		p.n.introduceLocked() // the subscription was made without a presence
	}
	return p.n.seen
}

// Bind says which entry a ticket has become, and which run of the server its lease says
// has seen the process; empty if none. lost is closed when the ticket is given up.
func (p *Presence) Bind(token, entry, run string) (lost <-chan struct{}) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	t := p.tickets[token]
	if t == nil { // given up while it was registered
		gone := make(chan struct{})
		close(gone)
		return gone
	}
	t.entry, t.run = entry, run
	if p.n.run != "" && run != p.n.run { // the server has seen the process while the ticket was taken
		p.unarmed = append(p.unarmed, token)
		p.armNextLocked()
	}
	return t.lost
}

// Has reports whether a ticket is one of the presence's.
func (p *Presence) Has(token string) bool {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	return p.tickets[token] != nil
}

// believedLocked reports whether a ticket cannot have been evicted by now, as far as this
// process knows.
func (p *Presence) believedLocked(token string, now time.Time) bool {
	return p == nil || p.tickets[token] != nil && (!p.armed || now.Before(p.deadline()))
}

// Leave removes a ticket from the presence that it is in, if it is in one: it may have been
// taken through another queue. If the ticket was found gone from the line, the presence looks
// after its others: the server evicts all of a process together. The ticket itself is told as
// lost, unless by is its presence: then the caller has the better answer.
func (n *Notifier) Leave(token string, gone bool, by *Presence) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.presenceOf[token]
	if p == nil {
		return
	}
	if gone && by != p {
		p.loseLocked(token)
	} else {
		p.leaveLocked(token)
	}
	if gone {
		p.showLocked()
	}
}

func (p *Presence) leaveLocked(token string) {
	delete(p.tickets, token)
	delete(p.n.presenceOf, token)
	if len(p.tickets) > 0 {
		return
	}
	p.settleLocked()
	p.armed, p.shown, p.unarmed = false, false, nil
	delete(p.n.presences, p)
	p.n.unwatchedLocked()
}

// Answered notes that a script was answered that was sent at the given time. Where the
// server may evict the process, that shows it for as long as the connection lasts only if
// the server has seen that: scripts and the subscription may go to different nodes.
func (p *Presence) Answered(sent time.Time) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	if p.n.listening && sent.After(p.n.upSince) && (p.n.run != "" || !p.armed) {
		p.shown = true
		p.settleLocked()
	}
	p.signLocked(sent)
}

// signLocked notes a sign of life that was sent at the given time.
func (p *Presence) signLocked(sent time.Time) {
	if !sent.After(p.sent) {
		return
	}
	p.sent, p.late = sent, false
	if p.expiry != nil {
		p.expireAtLocked(p.deadline())
	}
}

// deadline is until when the last sign counts. A ticket cannot be evicted sooner after it
// was about to be registered: that, too, was a script.
func (p *Presence) deadline() time.Time {
	last := p.sent
	if p.since.After(last) {
		last = p.since
	}
	return last.Add(p.grace - p.grace/10)
}

// brokenLocked is called when the connection has broken: from now on the server may
// have marked the process.
func (p *Presence) brokenLocked() {
	p.shown = false
	if !p.armed {
		return
	}
	if p.expiry == nil {
		p.expireAtLocked(p.deadline())
	}
	p.askLocked()
}

func (p *Presence) expireAtLocked(due time.Time) {
	p.due = due
	if p.expiry == nil {
		p.expiry = time.AfterFunc(time.Until(due), p.expire)
	} else {
		p.expiry.Reset(time.Until(due))
	}
}

// settleLocked ends the asking: the process was shown on a connection that is up.
func (p *Presence) settleLocked() {
	if p.expiry != nil {
		p.expiry.Stop()
		p.expiry = nil
	}
	if p.asking != nil {
		p.asking.Stop()
		p.asking = nil
	}
}

// expire gives the tickets up, unless there was a sign meanwhile. A timer that fires
// late says that the process stood still: then it asks once more.
func (p *Presence) expire() {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	now := time.Now()
	switch {
	case p.expiry == nil:
		return
	case now.Before(p.due):
		p.expireAtLocked(p.due)
		return
	case now.Sub(p.due) > p.grace/10 && !p.late:
		p.late = true
		p.expireAtLocked(now.Add(p.grace / 4))
		p.showLocked()
		return
	}
	for token := range p.tickets {
		p.loseLocked(token)
	}
}

// askLocked sends signs, at once and four times in the grace time, until
// settleLocked.
func (p *Presence) askLocked() {
	if p.asking != nil {
		return
	}
	p.showLocked()
	p.asking = time.AfterFunc(p.grace/4, p.askAgain)
}

func (p *Presence) askAgain() {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	if p.asking != nil {
		p.showLocked()
		p.asking.Reset(p.grace / 4)
	}
}

// showLocked sends a sign about the first ticket, unless enough are under way.
func (p *Presence) showLocked() {
	if p.signs < signsUnderWay { // or the first of thousands would be looked for in vain
		p.sendLocked(p.firstLocked())
	}
}

// sendLocked sends one sign, for the given ticket. Whether it was answered is told to
// Answered.
func (p *Presence) sendLocked(s sign) {
	if s.entry == "" {
		return
	}
	p.signs++
	run := p.n.run
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*p.grace)
		defer cancel()
		err := p.server.Sign(ctx, s.entry, run, s.renew)
		p.n.mu.Lock()
		defer p.n.mu.Unlock()
		p.signs--
		token := p.n.token(s.entry)
		t := p.tickets[token]
		switch {
		case err == nil:
			if t != nil && s.renew && run != "" {
				t.run = run
			}
			p.armNextLocked()
		case errors.Is(err, queue.ErrNotQueued):
			if t != nil && t.entry == s.entry {
				p.loseLocked(token)
			}
			p.showLocked() // the others may have been evicted with it
		}
	}()
}

// seenLocked is called when the server has seen the connection. What the leases say of
// another run of it is nothing to this one.
func (p *Presence) seenLocked() {
	p.armed, p.unarmed = true, nil
	for token, t := range p.tickets {
		if t.entry != "" && t.run != p.n.run {
			p.unarmed = append(p.unarmed, token)
		}
	}
	slices.SortFunc(p.unarmed, func(a, b string) int {
		return strings.Compare(p.tickets[a].entry, p.tickets[b].entry)
	})
	p.showLocked() // a sign that was sent before the run was known has not said it
	if !p.shown {
		p.askLocked()
	}
}

// armNextLocked sends a sign about the first ticket whose lease does not say yet that the
// server has seen the process: until it does, the ticket outlives the process by its
// lease. Each sign that is answered brings on the next, so that they are sent one after
// the other; after one that is not answered, the next ping does.
func (p *Presence) armNextLocked() {
	if p.n.run == "" || p.signs > 0 {
		return
	}
	for len(p.unarmed) > 0 {
		token := p.unarmed[0]
		if t := p.tickets[token]; t != nil && t.run != p.n.run {
			if s := p.aboutLocked(token, t, time.Now()); s.renew {
				p.unarmed = append(p.unarmed[1:], token) // one that goes on failing must not hold up the others
				p.sendLocked(s)
				return
			}
		}
		p.unarmed = p.unarmed[1:] // it has left, or says it already, or is about to run out
	}
}

// loseLocked gives up one of its tickets.
func (p *Presence) loseLocked(token string) {
	close(p.tickets[token].lost)
	p.leaveLocked(token)
}

// firstLocked returns the sign to send: about the lowest ticket that is believed. Entries of
// a line begin with numbers of as many digits for some centuries.
//
// The lease of a ticket that is not believed any more must run out: its owner was told, and
// may be slow to release it. If there is none but such tickets, the sign renews nothing.
func (p *Presence) firstLocked() (first sign) {
	now := time.Now()
	for token, t := range p.tickets {
		s := p.aboutLocked(token, t, now)
		switch {
		case s.entry == "":
		case first.entry == "", s.renew && !first.renew, s.renew == first.renew && s.entry < first.entry:
			first = s
		}
	}
	return first
}

// aboutLocked returns the sign about a ticket.
func (p *Presence) aboutLocked(token string, t *present, now time.Time) sign {
	w := p.n.waiters.byToken[token]
	return sign{t.entry, w == nil || w.Until.IsZero() || now.Before(w.Until)}
}
