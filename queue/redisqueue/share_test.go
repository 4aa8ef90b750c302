package redisqueue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// place returns how many must leave before a ticket owns.
func place(t *testing.T, q queue.TicketQueue, ticket queue.Ticket) int {
	t.Helper()
	p, err := queue.Position(t.Context(), q, ticket)
	if err != nil {
		t.Fatal(err)
	}
	return p.Ahead
}

func wantAhead(t *testing.T, q queue.TicketQueue, ticket queue.Ticket, want int) {
	t.Helper()
	if got := place(t, q, ticket); got != want {
		t.Errorf("%d must leave before ticket %d owns; want %d", got, ticket.Number, want)
	}
}

func registerAll(t *testing.T, q queue.TicketQueue, n int) (tickets []queue.Ticket) {
	t.Helper()
	for range n {
		tickets = append(tickets, mustRegister(t, q))
	}
	return tickets
}

// The first three own; how many must leave is counted from there.
func TestShare(t *testing.T) {
	name := redistest.Name(t)
	q := redisqueue.New(redistest.Client(t), name).Share(3)
	tickets := registerAll(t, q, 5)
	for i, want := range []int{0, 0, 0, 1, 2} {
		if tickets[i].Ahead != want {
			t.Errorf("ticket %d has %d ahead; want %d", i, tickets[i].Ahead, want)
		}
		wantAhead(t, q, tickets[i], want)
	}
	if _, ok, err := queue.TryRegister(t.Context(), q); ok || err != nil {
		t.Errorf("TryRegister of a full line = %v, %v", ok, err)
	}
	mustRelease(t, q, tickets[1])
	wantAhead(t, q, tickets[3], 0)
	wantAhead(t, q, tickets[4], 1)
	for _, i := range []int{0, 2, 3} {
		mustRelease(t, q, tickets[i])
	}
	another, ok, err := queue.TryRegister(t.Context(), q)
	if err != nil || !ok || another.Ahead != 0 {
		t.Errorf("TryRegister with one in line = %+v, %v, %v; want an owner", another, ok, err)
	}
	mustRelease(t, q, another)
	mustRelease(t, q, tickets[4])
	if keys := redistest.Keys(t, redistest.Client(t), name); len(keys) != 0 {
		t.Errorf("%q are left", keys)
	}
}

// A release wakes the one that has come among the first, and no other.
func TestShareGrant(t *testing.T) {
	t.Parallel()
	name := redistest.Name(t)
	whole := redisqueue.New(redistest.Client(t), name)
	near, far := redisqueue.New(redistest.Client(t), name).Share(2), whole.Share(2)
	wantGrant(t, func() queue.Wake {
		holders := registerAll(t, near, 2)
		listeningView(t, far)
		next, last := mustRegister(t, far), mustRegister(t, far)
		wakeNext, _ := watchView(t, far, next)
		wakeLast, _ := watchView(t, far, last)
		mustRelease(t, near, holders[1])
		woken := <-wakeNext
		quiet := isQuiet(t, wakeLast) && woken == queue.WakeOwner
		mustRelease(t, near, holders[0])
		woken = <-wakeLast
		if quiet {
			quiet = isQuiet(t, wakeNext)
		}
		mustRelease(t, far, next)
		mustRelease(t, far, last)
		if !quiet {
			return queue.WakeHint
		}
		return woken
	})
}

// Several die among the owners while the first is alive: one look removes them, and
// wakes as many as come among the first, in this process and in others.
func TestShareDeadInTheMiddle(t *testing.T) {
	t.Parallel()
	name := redistest.Name(t)
	client := redistest.Client(t)
	near, far := redisqueue.New(client, name).Share(3), redisqueue.New(redistest.Client(t), name).Share(3)
	holders := registerAll(t, near, 3)
	listeningView(t, far)
	listeningView(t, near)
	b, c, d := mustRegister(t, far), mustRegister(t, near), mustRegister(t, far)
	wakeB, _ := watchView(t, far, b)
	wakeC, _ := watchView(t, near, c)
	wakeD, _ := watchView(t, far, d)
	for _, dead := range holders[1:] {
		client.Del(t.Context(), leaseKey(name, dead))
	}
	wantAhead(t, near, d, 1)
	wantOwner(t, far, b, wakeB)
	wantOwner(t, near, c, wakeC)
	isQuiet(t, wakeD)
	wantAhead(t, far, b, 0)
	wantAhead(t, near, holders[0], 0)
	for _, dead := range holders[1:] {
		wantNotQueued(t, queue.Release(t.Context(), near, dead))
	}
	for _, ticket := range []queue.Ticket{holders[0], b, c, d} {
		mustRelease(t, near, ticket)
	}
}

// So it is however many dead there are between the owners.
func TestShareManyDead(t *testing.T) {
	t.Parallel()
	for _, dead := range []int{1000, 1001, 1002, 1003, 1004, 2500} {
		client, name := redistest.Client(t), redistest.Name(t)
		q := redisqueue.New(client, name).Share(3)
		far := redisqueue.New(redistest.Client(t), name).Share(3)
		first := registerAll(t, q, 3)
		listeningView(t, far)
		b, c := mustRegister(t, far), mustRegister(t, far)
		wakeB, _ := watchView(t, far, b)
		wakeC, _ := watchView(t, far, c)
		plantDead(t, client, name, first[1].Number+1, dead)
		client.Del(t.Context(), leaseKey(name, first[1]), leaseKey(name, first[2]))
		if err := q.CleanupStale(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantOwner(t, far, b, wakeB)
		wantOwner(t, far, c, wakeC)
		if list := members(t, q); len(list) != 3 {
			t.Errorf("%d are left of %d dead", len(list)-3, dead)
		}
		for _, ticket := range []queue.Ticket{first[0], b, c} {
			mustRelease(t, q, ticket)
		}
	}
}

// A limit is changed while it is in use: each view admits by its own.
func TestShareSideBySide(t *testing.T) {
	q := redisqueue.New(redistest.Client(t), redistest.Name(t))
	two, three := q.Share(2), q.Share(3)
	tickets := registerAll(t, two, 2)
	third := mustRegister(t, three)
	if third.Ahead != 0 {
		t.Errorf("the third has %d ahead; want that it owns by its own view", third.Ahead)
	}
	fourth, fifth := mustRegister(t, two), mustRegister(t, three)
	if fourth.Ahead != 2 || fifth.Ahead != 2 {
		t.Errorf("%d and %d ahead; want 2 and 2", fourth.Ahead, fifth.Ahead)
	}
	wakeFourth, _ := watchView(t, two, fourth)
	wakeFifth, _ := watchView(t, three, fifth)
	drain(wakeFourth)
	drain(wakeFifth)
	mustRelease(t, three, tickets[0])
	wantAhead(t, two, fourth, 1)
	wantAhead(t, three, fifth, 1)
	for _, wake := range []<-chan queue.Wake{wakeFourth, wakeFifth} {
		select {
		case w := <-wake:
			if w == queue.WakeOwner {
				t.Error("told that it owns, by a view that lets more own than its own")
			}
		default:
		}
	}
	for _, ticket := range []queue.Ticket{tickets[1], third, fourth, fifth} {
		mustRelease(t, three, ticket)
	}
}

// A line is of one kind until it is empty, and the error says both.
func TestShareKind(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	for what, test := range map[string]struct {
		first, second queue.TicketQueue
		want          string
	}{
		"exclusive first": {q, q.Share(2), "held as a Mutex (exclusive); a Semaphore (shared) cannot join it"},
		"shared first":    {q.Share(1), q, "held as a Semaphore (shared); a Mutex (exclusive) cannot join it"},
	} {
		t.Run(what, func(t *testing.T) {
			held := mustRegister(t, test.first)
			if _, err := test.second.Register(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Register: %v", err)
			}
			if _, _, err := queue.TryRegister(t.Context(), test.second); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("TryRegister: %v", err)
			}
			if list := members(t, q); len(list) != 1 {
				t.Errorf("the line is %v", list)
			}
			// The dead have no say.
			client.Del(t.Context(), leaseKey(name, held))
			second := mustRegister(t, test.second)
			wantHead(t, test.second, second)
			mustRelease(t, test.second, second)
		})
	}
}

func TestShareOfNone(t *testing.T) {
	q := redisqueue.New(redistest.Client(t), redistest.Name(t))
	for _, n := range []int{0, -1} {
		if _, err := q.Share(n).Register(t.Context()); err == nil || !strings.Contains(err.Error(), "give 1 or more") {
			t.Errorf("Share(%d): %v", n, err)
		}
	}
	if _, ok := q.Share(2).(queue.Sharer); ok {
		t.Error("a view offers Share")
	}
	zero := &redisqueue.Queue{}
	for _, q := range []queue.TicketQueue{zero, zero.Share(2)} {
		if _, err := q.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "not made by New") {
			t.Errorf("the zero Queue: %v", err)
		}
	}
}

// The shortest lease of the owners is how long a waiter need not look.
func TestRecheck(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	view := q.Share(2)
	short := redisqueue.New(client, name, redisqueue.WithLease(20*time.Second)).Share(2)
	holders := []queue.Ticket{mustRegister(t, view), mustRegister(t, short)}
	waiter := mustRegister(t, view)
	recheck := func() time.Duration {
		t.Helper()
		p, err := queue.Position(t.Context(), view, waiter)
		if err != nil {
			t.Fatal(err)
		}
		return p.Recheck
	}
	if d := recheck(); d != 0 {
		t.Errorf("not watched: %v", d)
	}
	listeningView(t, view)
	_, stop := watchView(t, view, waiter)
	watched := recheck()
	for ; watched == 0; watched = recheck() { // a busy machine makes the subscription anew
		time.Sleep(pause)
	}
	if watched < 0 || watched > 20*time.Second {
		t.Errorf("watched: %v; want no more than the shortest lease", watched)
	}
	stop()
	if d := recheck(); d != 0 {
		t.Errorf("not watched any more: %v", d)
	}
	mustRelease(t, view, holders[0])
	mustRelease(t, view, holders[1])
	mustRelease(t, view, waiter)
}

// Where owners have another n, a release may tell none of those that own by it: a waiter
// looks soon, and is not left behind a permit that is free.
func TestRecheckBehindAnotherN(t *testing.T) {
	q := redisqueue.New(redistest.Client(t), redistest.Name(t))
	two, three := q.Share(2), q.Share(3)
	holders := registerAll(t, two, 2)
	waiters := []queue.Ticket{mustRegister(t, two), mustRegister(t, three)}
	listeningView(t, two)
	for i, view := range []queue.TicketQueue{two, three} {
		watchView(t, view, waiters[i])
		var p queue.Place
		for p.Recheck == 0 { // a busy machine makes the subscription anew
			var err error
			if p, err = queue.Position(t.Context(), view, waiters[i]); err != nil || p.Ahead != 1 {
				t.Fatalf("waiter %d: Position returned %+v, %v, want 1 ahead", i, p, err)
			}
		}
		if looks := p.Recheck <= 25*time.Millisecond; looks != (i == 1) {
			t.Errorf("waiter %d may rely on being woken for %v", i, p.Recheck)
		}
	}
	for _, ticket := range append(holders, waiters...) {
		mustRelease(t, two, ticket)
	}
}

// watchView is watch for a view.
func watchView(t *testing.T, q queue.TicketQueue, ticket queue.Ticket) (wake <-chan queue.Wake, stop func()) {
	t.Helper()
	wake, stop, err := queue.Watch(t.Context(), q, ticket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return wake, stop
}

// listeningView is listening for a view with a line that is full.
func listeningView(t *testing.T, q queue.TicketQueue) {
	t.Helper()
	for {
		ticket := mustRegister(t, q)
		wake, stop := watchView(t, q, ticket)
		quiet := len(wake) == 0
		stop()
		mustRelease(t, q, ticket)
		if quiet {
			return
		}
		time.Sleep(pause)
	}
}
