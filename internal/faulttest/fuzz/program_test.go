//go:build linux

package fuzz

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

const (
	// longestProgram is how many bytes of a program are used: fuzzing finds more
	// with many short ones.
	longestProgram = 160

	// patience is what a call may take that has to return at once, on a machine
	// that has much else to do.
	patience = 30 * time.Second
)

// program is what a fuzz target's input says is to be done.
type program struct {
	code []byte
}

func newProgram(code []byte) *program {
	return &program{code[:min(len(code), longestProgram)]}
}

func (p *program) over() bool { return len(p.code) == 0 }

// next returns the next byte, 0 if there is none.
func (p *program) next() int {
	if p.over() {
		return 0
	}
	b := p.code[0]
	p.code = p.code[1:]
	return int(b)
}

// pick returns one of the choices.
func pick[T any](p *program, choices ...T) T { return choices[p.next()%len(choices)] }

// text returns up to 31 bytes of the program.
func (p *program) text() string {
	n := min(p.next()%32, len(p.code))
	s := string(p.code[:n])
	p.code = p.code[n:]
	return s
}

// candidate is a ticket that was taken while a queue's storage was edited.
type candidate struct {
	queue.Ticket
	tampered bool // with what makes it a ticket, so that nothing is promised for it
	left     bool
}

// candidates are the tickets of a program, and what is promised for them.
type candidates struct {
	*testing.T
	q    queue.TicketQueue
	all  []*candidate
	last int64 // the highest number given out

	// excused reports whether an error is one that an untouched ticket may get.
	excused func(error) bool
}

// register takes a ticket. It may be refused, but its number is above those before it. A
// number that was planted ahead of the clock is forgotten with what was planted.
func (c *candidates) register() {
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	t, err := c.q.Register(ctx)
	if err != nil {
		c.wantNoHang("Register", err)
		return
	}
	c.given(t.Number)
	c.all = append(c.all, &candidate{Ticket: t})
}

// given is called for every number that is given out.
func (c *candidates) given(number int64) {
	c.Helper()
	if number <= c.last && c.last <= time.Now().UnixMicro() {
		c.Errorf("number %d was given out after %d", number, c.last)
	}
	for _, t := range c.all {
		if !t.left && !t.tampered && number <= t.Number {
			c.Errorf("number %d was given out while %d is in line", number, t.Number)
		}
	}
	c.last = number
}

// pick returns one of the tickets, nil if there is none.
func (c *candidates) pick(p *program) *candidate {
	if len(c.all) == 0 {
		return nil
	}
	return pick(p, c.all...)
}

// of returns the ticket of that member, nil if there is none.
func (c *candidates) of(member string) *candidate {
	for _, t := range c.all {
		if t.Member == member {
			return t
		}
	}
	return nil
}

// tamper says that nothing is promised any more for the ticket of that member.
func (c *candidates) tamper(member string) {
	if t := c.of(member); t != nil {
		t.tampered = true
	}
}

func (c *candidates) tamperAll() {
	for _, t := range c.all {
		t.tampered = true
	}
}

// release releases a ticket. An untouched one must be in line until then.
func (c *candidates) release(t *candidate) {
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	err := queue.Release(ctx, c.q, t.Ticket)
	if err != nil {
		c.wantNoHang("Release", err)
	}
	if err != nil && !t.left && !t.tampered && !c.excused(err) {
		c.Errorf("Release of a ticket that nobody has touched: %v", err)
	}
	t.left = true
}

// others calls one of the methods that are not about a ticket that was picked.
func (c *candidates) others(p *program) {
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	var err error
	switch p.next() % 5 {
	case 0:
		err = c.q.CleanupStale(ctx)
	case 1:
		c.q.MaybeCleanup(ctx)
	case 2:
		_, err = c.q.IsEmpty(ctx)
	case 3:
		_, err = queue.Members(ctx, c.q)
	case 4:
		if t, ok, terr := queue.TryRegister(ctx, c.q); ok {
			c.given(t.Number)
			for _, other := range c.all {
				if !other.left && !other.tampered {
					c.Errorf("TryRegister got in although ticket %d is in line", other.Number)
				}
			}
			c.all = append(c.all, &candidate{Ticket: t})
		} else {
			err = terr
		}
	}
	if err != nil {
		c.wantNoHang("a call", err)
	}
}

func (c *candidates) wantNoHang(what string, err error) {
	c.Helper()
	if errors.Is(err, context.DeadlineExceeded) {
		c.Fatalf("%s did not return within %v: %v", what, patience, err)
	}
}

// untouched are the tickets in line that were not tampered with.
func (c *candidates) untouched() (in []*candidate) {
	for _, t := range c.all {
		if !t.left && !t.tampered {
			in = append(in, t)
		}
	}
	return in
}

// wantOrder checks that all untouched tickets are in line, and that at most the first of
// them is the head.
func (c *candidates) wantOrder() {
	c.Helper()
	for i, t := range c.untouched() {
		head, err := c.q.IsHead(c.Context(), t.Ticket)
		switch {
		case err != nil && !c.excused(err):
			c.Errorf("IsHead of a ticket that nobody has touched: %v", err)
		case head && i > 0:
			c.Errorf("ticket %d is the head before %d", t.Number, c.untouched()[0].Number)
		}
	}
}

// wantFirst checks that the first of the untouched tickets is the head. There must be no
// others that are alive.
func (c *candidates) wantFirst() {
	c.Helper()
	in := c.untouched()
	if len(in) == 0 || c.q.CleanupStale(c.Context()) != nil {
		return // where no ticket can be judged, all wait
	}
	place, err := queue.Position(c.Context(), c.q, in[0].Ticket)
	if err != nil && !c.excused(err) || err == nil && place.Ahead != 0 {
		c.Errorf("%d are ahead of the first ticket, %v, want 0", place.Ahead, err)
	}
}

// releaseTampered releases the tickets that were tampered with.
func (c *candidates) releaseTampered() {
	for _, t := range c.all {
		if t.tampered && !t.left {
			c.release(t)
		}
	}
}

// wantWait checks that a Lock waits for those in line, and gives up when it is
// told to.
func (c *candidates) wantWait(m *lock.Mutex) {
	c.Helper()
	waiting := len(c.untouched())
	ctx, cancel := context.WithTimeout(c.Context(), 2*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := m.Lock(ctx)
	if took := time.Since(began); took > patience {
		c.Errorf("Lock with a deadline of 2 ms took %v", took)
	}
	if err != nil {
		return
	}
	if waiting > 0 {
		c.Errorf("Lock went in before %d tickets", waiting)
	}
	c.given(m.Token())
	_ = m.Unlock() // between the two the queue may have been tampered with
}

// wantLock checks that a Lock of a queue that all have left succeeds, or says what is
// wrong. It reports whether it has succeeded.
func (c *candidates) wantLock(m *lock.Mutex) bool {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	if err := m.Lock(ctx); err != nil {
		c.wantNoHang("Lock", err)
		return false
	}
	c.given(m.Token())
	if err := m.Unlock(); err != nil {
		c.Errorf("Unlock: %v", err)
	}
	return true
}
