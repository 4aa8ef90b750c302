package queuetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// runShare checks the views of a queue that can be shared.
func runShare(t *testing.T, newQueue func(t *testing.T) queue.TicketQueue) {
	view := func(n int) func(t *testing.T) queue.TicketQueue {
		return func(t *testing.T) queue.TicketQueue { return newQueue(t).(queue.Sharer).Share(n) }
	}
	t.Run("shared by 1", func(t *testing.T) { check(t, view(1), basic, optional) })
	t.Run("shared by 3", func(t *testing.T) { check(t, view(3), ofThree) })
	t.Run("shared", func(t *testing.T) { check(t, newQueue, views) })
}

// ofThree has the promises of a view in which the first 3 own.
var ofThree = []property{
	{"the first three own, and Ahead is how many must leave", func(l *tester) {
		for i := range 6 {
			t := l.register()
			want := max(0, i-2)
			if t.Ahead != want {
				l.Errorf("Register of number %d in line returned Ahead %d, want %d", i, t.Ahead, want)
			}
			l.wantHead(t, i < 3)
			l.wantAhead(t, want)
		}
	}},
	{"whichever owner leaves, the next in line owns", func(l *tester) {
		var tickets []queue.Ticket
		for range 5 {
			tickets = append(tickets, l.register())
		}
		for _, leaving := range []int{1, 0, 2} { // from the middle, the front, the end
			l.remove(tickets[leaving])
			tickets = slices.Delete(tickets, leaving, leaving+1)
			tickets = append(tickets, l.register())
			for i, t := range tickets {
				l.wantHead(t, i < 3)
			}
		}
	}},
	{"a waiter that leaves changes nothing for the owners", func(l *tester) {
		a, b, c, d, e := l.register(), l.register(), l.register(), l.register(), l.register()
		l.remove(d)
		for _, t := range []queue.Ticket{a, b, c} {
			l.wantHead(t, true)
		}
		l.wantAhead(e, 1)
	}},
	{"there are never more than three owners, and all come to own", func(l *tester) { l.checkExclusion(3) }},
	{"TryRegister joins if fewer than three are in line", func(l *tester) {
		for i := range 5 {
			t, ok, err := queue.TryRegister(l.Context(), l.q)
			room := 3
			if _, tries := l.q.(queue.TryRegisterer); !tries {
				room = 1 // it is found out by looking whether the line is empty
			}
			if l.ok("TryRegister", err); ok != (i < room) {
				l.Errorf("TryRegister with %d in line returned %v", i, ok)
			}
			if ok {
				l.taken = append(l.taken, t)
				l.wantHead(t, true)
			}
		}
	}},
	{"several are woken, in order, when several owners leave", func(l *tester) {
		a, b, c := l.register(), l.register(), l.register()
		d, e, f := l.register(), l.register(), l.register()
		wakeD, wakeE, wakeF := l.watch(d), l.watch(e), l.watch(f)
		l.ok("Release", queue.Release(l.Context(), l.q, b))
		l.await(d, wakeD)
		l.wantHead(e, false)
		l.ok("Release", queue.Release(l.Context(), l.q, a))
		l.ok("Release", queue.Release(l.Context(), l.q, c))
		l.await(e, wakeE)
		l.await(f, wakeF)
	}},
	{"a release wakes no more than may own", func(l *tester) {
		a, _, _ := l.register(), l.register(), l.register()
		d, e := l.register(), l.register()
		wakeD, wakeE := l.watch(d), l.watch(e)
		l.ok("Release", queue.Release(l.Context(), l.q, a))
		l.await(d, wakeD)
		for settled := false; !settled; {
			select {
			case w := <-wakeE:
				if w == queue.WakeOwner {
					l.Error("WakeOwner to a ticket behind the owners")
				}
			case <-time.After(20 * pollInterval):
				settled = true
			}
		}
		l.wantAhead(e, 1)
	}},
	{"Members lists the whole line", (*tester).checkMembers},
	{"what happens between Register and Watch is not missed", func(l *tester) {
		a, _, _, d := l.register(), l.register(), l.register(), l.register()
		l.ok("Release", queue.Release(l.Context(), l.q, a))
		l.await(d, l.watch(d))
	}},
}

// views has the promises of the views of one queue together. l.q is the queue itself.
var views = []property{
	{"a view is no Sharer, and has the other interfaces of its queue", func(l *tester) {
		view := l.share(2)
		if _, ok := view.(queue.Sharer); ok {
			l.Errorf("%T, a view, is a Sharer itself", view)
		}
		for name, has := range map[string]func(queue.TicketQueue) bool{
			"TryRegisterer": func(q queue.TicketQueue) bool { _, ok := q.(queue.TryRegisterer); return ok },
			"Releaser":      func(q queue.TicketQueue) bool { _, ok := q.(queue.Releaser); return ok },
			"Refresher":     func(q queue.TicketQueue) bool { _, ok := q.(queue.Refresher); return ok },
			"Watcher":       func(q queue.TicketQueue) bool { _, ok := q.(queue.Watcher); return ok },
			"Positioner":    func(q queue.TicketQueue) bool { _, ok := q.(queue.Positioner); return ok },
			"Lister":        func(q queue.TicketQueue) bool { _, ok := q.(queue.Lister); return ok },
			"fmt.Stringer":  func(q queue.TicketQueue) bool { _, ok := q.(fmt.Stringer); return ok },
		} {
			if has(l.q) != has(view) {
				l.Errorf("whether it is a %s: the queue %v, its view %v", name, has(l.q), has(view))
			}
		}
	}},
	{"Members says by which n each ticket owns", func(l *tester) {
		if _, ok := l.q.(queue.Lister); !ok {
			return
		}
		wantOwners := func(want []int, owns []bool) {
			l.Helper()
			members, err := queue.Members(l.Context(), l.q)
			if l.ok("Members", err); len(members) != len(want) {
				l.Fatalf("Members returned %d, want %d", len(members), len(want))
			}
			for i, m := range members {
				if m.Owners != want[i] || m.Owns() != owns[i] {
					l.Errorf("member %d has Owners %d and Owns %v, want %d and %v", i, m.Owners, m.Owns(), want[i], owns[i])
				}
			}
		}
		a, b := l.register(), l.register()
		wantOwners([]int{0, 0}, []bool{true, false})
		l.remove(a)
		l.remove(b)
		var tickets []queue.Ticket
		for _, n := range []int{1, 1, 3, 3} { // the third owns, and the second waits
			t, err := l.share(n).Register(l.Context())
			l.ok("Register by a view", err)
			tickets = append(tickets, t)
		}
		wantOwners([]int{1, 1, 3, 3}, []bool{true, false, true, false})
		for _, t := range tickets {
			l.ok("Release", queue.Release(l.Context(), l.share(3), t))
		}
	}},
	{"an n below 1 is an error of the first call", func(l *tester) {
		for _, n := range []int{0, -1} {
			if _, err := l.share(n).Register(l.Context()); err == nil {
				l.Errorf("Register by a view that %d own returned nil", n)
			}
			if _, ok, err := queue.TryRegister(l.Context(), l.share(n)); ok || err == nil {
				l.Errorf("TryRegister by a view that %d own returned %v, %v", n, ok, err)
			}
		}
		l.wantEmpty(true)
	}},
	{"a line of one kind is not joined by the other", func(l *tester) {
		shared := l.share(2)
		for range 2 { // an empty line is of no kind
			a := l.register()
			_, err := shared.Register(l.Context())
			l.wantBothKinds("Register by a view", err)
			_, ok, err := queue.TryRegister(l.Context(), shared)
			if _, tries := shared.(queue.TryRegisterer); tries || ok || err != nil {
				l.wantBothKinds("TryRegister by a view with room", err)
			}
			one := l.share(1)
			_, ok, err = queue.TryRegister(l.Context(), one)
			if _, tries := one.(queue.TryRegisterer); tries || ok || err != nil {
				l.wantBothKinds("TryRegister by a view without room", err)
			}
			l.remove(a)
			b, err := shared.Register(l.Context())
			l.ok("Register by a view", err)
			_, err = l.q.Register(l.Context())
			l.wantBothKinds("Register", err)
			_, ok, err = queue.TryRegister(l.Context(), l.q)
			if _, tries := l.q.(queue.TryRegisterer); tries || ok || err != nil {
				l.wantBothKinds("TryRegister", err)
			}
			l.ok("Release", queue.Release(l.Context(), shared, b))
		}
		l.wantEmpty(true)
	}},
	{"views with different n work side by side, each by its own", func(l *tester) {
		narrow, wide := l.share(1), l.share(3)
		register := func(q queue.TicketQueue, ahead int) queue.Ticket {
			t, err := q.Register(l.Context())
			l.ok("Register", err)
			if t.Ahead != ahead {
				l.Errorf("Ahead is %d, want %d", t.Ahead, ahead)
			}
			return t
		}
		a := register(narrow, 0)
		b, c := register(wide, 0), register(wide, 0)
		d := register(narrow, 3)
		e := register(wide, 2)
		l.ok("Release", queue.Release(l.Context(), narrow, a))
		l.ok("Release", queue.Release(l.Context(), wide, b))
		head, err := wide.IsHead(l.Context(), e)
		if l.ok("IsHead", err); !head {
			l.Error("with two before it a ticket does not own, of a view that three own")
		}
		head, err = narrow.IsHead(l.Context(), d)
		if l.ok("IsHead", err); head {
			l.Error("with one before it a ticket owns, of a view that one owns")
		}
		l.ok("Release", queue.Release(l.Context(), wide, c))
		head, err = narrow.IsHead(l.Context(), d)
		if l.ok("IsHead", err); !head {
			l.Error("the first in line does not own")
		}
		l.ok("Release", queue.Release(l.Context(), narrow, d))
		l.ok("Release", queue.Release(l.Context(), wide, e))
	}},
}

// share returns a view of the queue.
func (l *tester) share(n int) queue.TicketQueue { return l.q.(queue.Sharer).Share(n) }

func (l *tester) wantBothKinds(what string, err error) {
	l.Helper()
	if err == nil || !strings.Contains(err.Error(), "exclusive") || !strings.Contains(err.Error(), "shared") {
		l.Errorf("%s returned %v, want an error that names both kinds, exclusive and shared", what, err)
	}
}
