package filequeue

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

func mustEnter(t *testing.T, o *door) {
	t.Helper()
	time.Sleep(2 * time.Duration(longestStep)) // no two calls come at one time
	if err := o.enter(t.Context(), noLimit, nil); err != nil {
		t.Error(err)
	}
}

func (o *door) waits() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting)
}

func noSeq() {}

// gathering is a directory with a door that is kept shut, so that calls gather at it.
type gathering struct {
	*testing.T
	q *Queue
	d *directory
}

func newGathering(t *testing.T) *gathering {
	t.Helper()
	g := &gathering{T: t, q: New(filepath.Join(t.TempDir(), "queue"))}
	if err := os.Mkdir(g.q.settings.path, 0o700); err != nil {
		t.Fatal(err)
	}
	g.d = useDirectory(g.q.settings.path)
	t.Cleanup(func() { g.d.done() })
	if err := g.d.open(&g.q.settings, true, false); err != nil {
		t.Fatal(err)
	}
	mustEnter(t, &g.d.seq.door)
	return g
}

// open lets in those that have gathered.
func (g *gathering) open() { g.d.seq.door.leave(g.d.dir, noSeq) }

// answer is that of a Register.
type answer struct {
	ticket queue.Ticket
	err    error
}

// register calls Register, and returns when the call waits at the door.
func (g *gathering) register(ctx context.Context, q queue.TicketQueue) <-chan answer {
	g.Helper()
	n := g.d.seq.door.waits()
	answered := make(chan answer, 1)
	go func() {
		ticket, err := q.Register(ctx)
		answered <- answer{ticket, err}
	}()
	for g.d.seq.door.waits() == n {
		time.Sleep(100 * time.Microsecond)
	}
	return answered
}

func (g *gathering) want(answered <-chan answer) queue.Ticket {
	g.Helper()
	a := <-answered
	if a.err != nil {
		g.Fatal(a.err)
	}
	return a.ticket
}

// release releases the tickets, of which each must own in its turn.
func (g *gathering) release(tickets ...queue.Ticket) {
	g.Helper()
	for _, t := range tickets {
		if head, err := g.q.IsHead(g.Context(), t); err != nil || !head {
			g.Errorf("ticket %d owns: %v, %v, want true", t.Number, head, err)
		}
		if err := g.q.Release(g.Context(), t); err != nil {
			g.Error(err)
		}
	}
}

// Calls that gather get their tickets with the first of them, in their order.
func TestFileRegisterTogether(t *testing.T) {
	g := newGathering(t)
	var answers []<-chan answer
	for range 10 {
		answers = append(answers, g.register(t.Context(), g.q))
	}
	g.open()
	var tickets []queue.Ticket
	for i, answered := range answers {
		ticket := g.want(answered)
		if i > 0 && ticket.Number != tickets[0].Number+int64(i) {
			t.Errorf("call %d has number %d, want %d", i, ticket.Number, tickets[0].Number+int64(i))
		}
		if ticket.Ahead != i {
			t.Errorf("call %d has %d ahead", i, ticket.Ahead)
		}
		tickets = append(tickets, ticket)
	}
	if content, _, _ := readSeq(g.d.seq.file, lockedfile.ContentOffset+int64(seqSize)); content.number != tickets[9].Number {
		t.Errorf("seq says %d, want the last number, %d", content.number, tickets[9].Number)
	}
	g.release(tickets...)
}

// A call gets no ticket if its ctx ends while it waits, and the others get theirs.
func TestFileRegisterTogetherCancelled(t *testing.T) {
	g := newGathering(t)
	ctx, cancel := context.WithCancel(t.Context())
	first := g.register(t.Context(), g.q)
	cancelled := g.register(ctx, g.q)
	last := g.register(t.Context(), g.q)
	cancel()
	if a := <-cancelled; !errors.Is(a.err, context.Canceled) {
		t.Errorf("the cancelled call returned %v, %v", a.ticket, a.err)
	}
	g.open()
	g.release(g.want(first), g.want(last))
}

// The ctx of a call ends at the moment in which it is served: it has a ticket or an
// error, and leaves no ticket without an owner.
func TestFileRegisterTogetherCancelledAsItIsServed(t *testing.T) {
	testenv.Long(t)
	for range 200 {
		g := newGathering(t)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := g.register(t.Context(), g.q), g.register(ctx, g.q)
		go cancel()
		g.open()
		tickets := []queue.Ticket{g.want(first)}
		if a := <-second; a.err == nil {
			tickets = append(tickets, a.ticket)
		} else if !errors.Is(a.err, context.Canceled) {
			t.Error(a.err)
		}
		if names, err := ticketNames(g.d.dir); err != nil || len(names) != len(tickets) {
			t.Fatalf("%d have a ticket, and there are %q (%v)", len(tickets), names, err)
		}
		g.release(tickets...)
		cancel()
	}
}

// Calls that come for something else come in by themselves, and each in its turn.
func TestFileRegisterTogetherOnlyTheSame(t *testing.T) {
	g := newGathering(t)
	labelled := New(g.q.settings.path, WithLabel("other"))
	first := g.register(t.Context(), g.q)
	second := g.register(t.Context(), g.q)
	other := g.register(t.Context(), labelled)
	shared := g.register(t.Context(), g.q.Share(3))
	last := g.register(t.Context(), g.q)
	g.open()
	if a := <-shared; a.err == nil {
		t.Errorf("a ticket of a semaphore was taken in a Mutex's line: %v", a.ticket)
	}
	tickets := []queue.Ticket{g.want(first), g.want(second), g.want(other), g.want(last)}
	members, err := g.q.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range members {
		if m.Ticket.Number != tickets[i].Number || (m.Label == "other") != (i == 2) {
			t.Errorf("the %d'th in line is %v, %q, want %v", i, m.Ticket, m.Label, tickets[i])
		}
	}
	g.release(tickets...)
}

// What keeps the first from joining keeps the others from it, too.
func TestFileRegisterTogetherRefused(t *testing.T) {
	g := newGathering(t)
	semaphore := g.q.Share(2)
	g.open()
	holder, err := g.q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustEnter(t, &g.d.seq.door)
	first, second := g.register(t.Context(), semaphore), g.register(t.Context(), semaphore)
	g.open()
	for _, answered := range []<-chan answer{first, second} {
		if a := <-answered; a.err == nil || errors.Is(a.err, errBusy) {
			t.Errorf("a ticket of a semaphore was taken in a Mutex's line: %v, %v", a.ticket, a.err)
		}
	}
	g.release(holder)
}
