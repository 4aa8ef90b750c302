package notifier

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// inLine makes n tickets of one line, each directly behind the one before. The first
// owns. All are believed for an hour.
func inLine(n *Notifier, count int) (tickets []Ticket) {
	front := ""
	for i := range count {
		t := Ticket{Token: n.NewToken(), Line: "line", Number: int64(i + 1), Owners: 1, Front: front, Owns: i == 0, Until: time.Now().Add(time.Hour)}
		t.Entry = fmt.Sprintf("%d:%s:1", t.Number, t.Token)
		front = t.Entry
		n.Open(t.Token, t.Line)
		n.Bind(t)
		n.Watch(t)
		tickets = append(tickets, t)
	}
	return tickets
}

// told returns what a ticket's waiter was told, -1 if nothing.
func told(n *Notifier, t Ticket) queue.Wake { return woken(n.waiters.byToken[t.Token].wake) }

func wantTold(t *testing.T, n *Notifier, ticket Ticket, want queue.Wake) {
	t.Helper()
	if got := told(n, ticket); got != want {
		t.Errorf("ticket %d was told %v; want %v", ticket.Number, got, want)
	}
}

// wantSettled is about a grant that is decided: there is nothing to wait for.
func wantSettled(t *testing.T, n *Notifier, ticket Ticket) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Settle(ctx, ticket.Token); err != nil {
		t.Errorf("ticket %d: %v, want it decided", ticket.Number, err)
	}
}

// The next is granted before the release is answered, and the one behind that when
// it is given up in its turn.
func TestHandOff(t *testing.T) {
	n := up()
	line := inLine(n, 4)
	first := n.GiveUp(line[0].Token)
	wantTold(t, n, line[1], queue.WakeOwner)
	wantTold(t, n, line[2], -1)
	second := n.GiveUp(line[1].Token)
	wantTold(t, n, line[2], queue.WakeOwner)
	if !first.Ordered() || !second.Ordered() {
		t.Error("the releases of a chain are in no order")
	}
	first.Answered(true, line[1].Entry)
	wantTold(t, n, line[2], -1)
	second.Answered(true, line[2].Entry)
	wantTold(t, n, line[2], -1)
	n.Deliver(line[2].Entry) // the server's own message says nothing new
	wantTold(t, n, line[2], -1)
	wantSettled(t, n, line[2])
	third := n.GiveUp(line[2].Token)
	wantTold(t, n, line[3], queue.WakeOwner)
	third.Answered(true, line[3].Entry)
	n.GiveUp(line[3].Token)
	if n.Waiters() != 0 || len(n.waiters.behind) != 0 {
		t.Errorf("%d waiters and %d links are left", n.Waiters(), len(n.waiters.behind))
	}
}

// Each of the conditions.
func TestHandOffNot(t *testing.T) {
	const unheard = "nothing listens for the next one"
	past := time.Now().Add(-time.Second)
	for what, change := range map[string]func(n *Notifier, owner, next *Ticket){
		"the one that leaves does not own":  func(_ *Notifier, owner, _ *Ticket) { owner.Owns = false },
		"its lease may have run out":        func(_ *Notifier, owner, _ *Ticket) { owner.Until = past },
		"the next one's may":                func(_ *Notifier, _, next *Ticket) { next.Until = past },
		"the line is shared":                func(_ *Notifier, _, next *Ticket) { next.Front = "" },
		"another is in between":             func(_ *Notifier, _, next *Ticket) { next.Front = "7:another:1" },
		"the next one's ticket is not ours": func(n *Notifier, _, next *Ticket) { next.Token = "unknown" },
		unheard:                             func(*Notifier, *Ticket, *Ticket) {},
	} {
		n := up()
		line := inLine(n, 2)
		n.Drop(line[0].Token)
		n.Drop(line[1].Token)
		for i := range line {
			n.Open(line[i].Token, "line")
		}
		w := n.waiters.byToken[line[1].Token]
		change(n, &line[0], &line[1])
		n.Bind(line[0])
		n.Bind(line[1])
		if what != unheard {
			n.Watch(line[1])
		}
		l := n.GiveUp(line[0].Token)
		if got := woken(w.wake); got != -1 {
			t.Errorf("%s: told %v", what, got)
		}
		if l != nil {
			if l.Ordered() {
				t.Errorf("%s: there is a chain", what)
			}
			l.Answered(true, line[1].Entry)
		}
	}
	if up().GiveUp("unknown") != nil {
		t.Error("an unknown ticket is handed on")
	}
}

// A sign of life counts, and an older one shortens nothing.
func TestHandOffRenewed(t *testing.T) {
	n := up()
	line := inLine(n, 2)
	for _, ticket := range line {
		n.waiters.byToken[ticket.Token].Until = time.Now().Add(-time.Second)
		n.Renewed(ticket.Token, time.Now().Add(time.Hour))
		n.Renewed(ticket.Token, time.Now().Add(-time.Hour))
	}
	n.GiveUp(line[0].Token)
	wantTold(t, n, line[1], queue.WakeOwner)
}

// A release that is answered "gone", or names another, or is not answered, takes back
// what was built on it, read or not: the last, which then grants no other.
func TestHandOffTakenBack(t *testing.T) {
	for what, answer := range map[string]struct {
		removed bool
		named   string
	}{"gone": {false, ""}, "another": {true, "9:another:1"}, "none": {true, ""}} {
		for _, read := range []bool{true, false} {
			for _, later := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/read=%v/later=%v", what, read, later), func(t *testing.T) {
					n := up()
					line := inLine(n, 4)
					l := n.GiveUp(line[0].Token)
					last := line[1]
					if read {
						wantTold(t, n, last, queue.WakeOwner)
					}
					var second *Leaving
					if later { // it has been given up itself
						second = n.GiveUp(last.Token)
						last = line[2]
						if read {
							wantTold(t, n, last, queue.WakeOwner)
						}
					}
					l.Answered(answer.removed, answer.named)
					if later && what == "none" { // it may be another order, until the next answer
						wantTold(t, n, last, map[bool]queue.Wake{true: -1, false: queue.WakeOwner}[read])
						second.Answered(true, "")
						second = nil
					}
					wantSettled(t, n, last)
					wantTold(t, n, last, queue.WakeHint)
					wantTold(t, n, last, -1)
					l = n.GiveUp(last.Token)
					wantTold(t, n, line[last.Number], -1)
					if second != nil {
						second.Answered(false, "")
					}
					l.Answered(false, "")
				})
			}
		}
	}
}

// Releases that are executed in another order name none, and then the one behind. That
// says nothing against the last one: its look waits until it is decided.
func TestHandOffInAnotherOrder(t *testing.T) {
	n := up()
	line := inLine(n, 3)
	first := n.GiveUp(line[0].Token)
	second := n.GiveUp(line[1].Token)
	wantTold(t, n, line[2], queue.WakeOwner)
	second.Answered(true, "")
	wantTold(t, n, line[2], -1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Settle(ctx, line[2].Token); !errors.Is(err, context.Canceled) {
		t.Errorf("Settle returned %v before all was answered", err)
	}
	first.Answered(true, line[2].Entry)
	wantSettled(t, n, line[2])
	wantTold(t, n, line[2], -1)
	if n.GiveUp(line[2].Token) != nil {
		t.Error("the release of the last is one of a chain, which was confirmed")
	}
}

// Nor does an answer that names one further on, which has been given up, whichever is
// heard of first.
func TestHandOffNamesOneFurtherOn(t *testing.T) {
	for _, late := range []bool{false, true} {
		n := up()
		line := inLine(n, 5)
		var releases []*Leaving
		for _, ticket := range line[:4] {
			releases = append(releases, n.GiveUp(ticket.Token))
		}
		wantTold(t, n, line[4], queue.WakeOwner)
		releases[1].Answered(true, "")
		if late {
			releases[2].Answered(true, line[3].Entry)
		}
		releases[0].Answered(true, line[2].Entry)
		if !late {
			releases[2].Answered(true, line[3].Entry)
		}
		wantTold(t, n, line[4], -1)
		releases[3].Answered(true, line[4].Entry)
		wantSettled(t, n, line[4])
		wantTold(t, n, line[4], -1)
	}
}

// A grant that no answer names is taken back when all are answered.
func TestHandOffNeverNamed(t *testing.T) {
	n := up()
	line := inLine(n, 3)
	first := n.GiveUp(line[0].Token)
	second := n.GiveUp(line[1].Token)
	wantTold(t, n, line[2], queue.WakeOwner)
	first.Answered(true, line[1].Entry)
	second.Answered(false, "")
	wantTold(t, n, line[2], queue.WakeHint)
}

// A release that hangs keeps none from being taken back by the answer to another.
func TestHandOffWhileOneHangs(t *testing.T) {
	n := up()
	line := inLine(n, 3)
	n.GiveUp(line[0].Token) // and no answer
	second := n.GiveUp(line[1].Token)
	wantTold(t, n, line[2], queue.WakeOwner)
	second.Answered(false, "")
	wantTold(t, n, line[2], queue.WakeHint)
	wantSettled(t, n, line[2])
}

// Those behind a waiter that leaves move up when the server has confirmed that, and
// not before: its ticket may still be in line.
func TestHandOffPastOneThatLeft(t *testing.T) {
	for _, confirmed := range []bool{true, false} {
		n := up()
		line := inLine(n, 3)
		between := n.GiveUp(line[1].Token)
		between.Answered(confirmed, "")
		want := queue.Wake(-1)
		if confirmed {
			want = queue.WakeOwner
		}
		n.GiveUp(line[0].Token)
		wantTold(t, n, line[2], want)
	}
	n := up()
	line := inLine(n, 3)
	between := n.GiveUp(line[1].Token)
	if n.GiveUp(line[0].Token) != nil {
		t.Error("an owner that nothing is directly behind depends on the answer to its release")
	}
	wantTold(t, n, line[2], -1)
	between.Answered(true, "")
	wantTold(t, n, line[2], -1)
}
