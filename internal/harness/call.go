//go:build linux

package harness

import "time"

// Call is a call of Lock or TryLock in a worker.
type Call struct {
	p      *Process
	number int64
	from   Mark
}

func (p *Process) call(verb string, timeout time.Duration) *Call {
	p.h.tb.Helper()
	p.calls++
	c := &Call{p: p, number: p.calls, from: p.Mark()}
	p.Tell(verb, c.number, timeout.Nanoseconds())
	return c
}

// Lock has the worker call Lock.
func (p *Process) Lock() *Call {
	p.h.tb.Helper()
	return p.call("lock", 0)
}

// LockFor has the worker call Lock with a ctx that ends after d.
func (p *Process) LockFor(d time.Duration) *Call {
	p.h.tb.Helper()
	return p.call("lock", d)
}

// StandInLine has the worker call Lock, and returns when the call has a ticket.
func (p *Process) StandInLine() *Call {
	p.h.tb.Helper()
	return p.StandInLineFor(0)
}

// StandInLineFor is StandInLine with a ctx that ends after d.
func (p *Process) StandInLineFor(d time.Duration) *Call {
	p.h.tb.Helper()
	c := p.LockFor(d)
	c.Registered()
	return c
}

// TryLock has the worker call TryLock and reports whether it got the lock.
func (p *Process) TryLock() (Event, bool) {
	p.h.tb.Helper()
	c := p.call("try", 0)
	e := p.Await(c.from, "the end of TryLock", func(e Event) bool {
		return e.Call == c.number && (e.Kind == Granted || e.Kind == Busy || e.Kind == Cancelled)
	})
	return e, e.Kind == Granted
}

func (c *Call) await(kinds ...Kind) Event {
	c.p.h.tb.Helper()
	want := kinds[0]
	e := c.p.Await(c.from, string(want), func(e Event) bool {
		if e.Call != c.number {
			return false
		}
		for _, kind := range kinds {
			if e.Kind == kind {
				return true
			}
		}
		return false
	})
	if e.Kind != want {
		c.p.h.tb.Fatalf("worker %d was %s (%s), want %s", c.p.Number, e.Kind, e.Error, want)
	}
	return e
}

// Called waits until Lock is about to be called.
func (c *Call) Called() Event {
	c.p.h.tb.Helper()
	return c.await(Called)
}

// Registered waits until the call has a ticket.
func (c *Call) Registered() Event {
	c.p.h.tb.Helper()
	return c.await(Registered, Cancelled)
}

// Granted waits until the call owns the lock.
func (c *Call) Granted() Event {
	c.p.h.tb.Helper()
	return c.await(Granted, Cancelled)
}

// Cancelled waits until the call has returned an error.
func (c *Call) Cancelled() Event {
	c.p.h.tb.Helper()
	return c.await(Cancelled, Granted)
}

// Cancel cancels the call's ctx.
func (c *Call) Cancel() {
	c.p.h.tb.Helper()
	c.p.Tell("cancel", c.number)
}

// StaysBlocked fails the test if the call returns within d.
func (c *Call) StaysBlocked(d time.Duration) {
	c.p.h.tb.Helper()
	if e, ok := c.returnsWithin(d); ok {
		c.p.h.tb.Fatalf("worker %d was %s (%s), want it to wait", c.p.Number, e.Kind, e.Error)
	}
}

// IsBlockedFor reports whether the call does not return within d.
func (c *Call) IsBlockedFor(d time.Duration) bool {
	_, returned := c.returnsWithin(d)
	return !returned
}

func (c *Call) returnsWithin(d time.Duration) (e Event, returned bool) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if e, ok := c.p.has(func(e Event) bool {
			return e.Call == c.number && (e.Kind == Granted || e.Kind == Cancelled)
		}); ok {
			return e, true
		}
	}
	return Event{}, false
}

// Write has the worker count up and write to the resource, in the hold it has.
func (p *Process) Write() Event {
	p.h.tb.Helper()
	mark := p.Mark()
	p.Tell("write")
	return p.AwaitKind(mark, Wrote)
}

// Unlock has the worker call Unlock, and returns what came of it.
func (p *Process) Unlock() Event {
	p.h.tb.Helper()
	mark := p.Mark()
	p.Tell("unlock")
	return p.AwaitKind(mark, Released)
}

// MustUnlock has the worker call Unlock, which must return nil.
func (p *Process) MustUnlock() Event {
	p.h.tb.Helper()
	e := p.Unlock()
	if e.Cause != None {
		p.h.tb.Fatalf("Unlock of worker %d: %s", p.Number, e.Error)
	}
	return e
}

// Run has the worker go through the section so many times in each of so many
// goroutines; with 0, until Finish.
func (p *Process) Run(goroutines, sections int) {
	p.h.tb.Helper()
	p.Tell("run", goroutines, sections)
}

// Finish ends a Run without end. Finished waits for it.
func (p *Process) Finish() {
	p.h.tb.Helper()
	p.Tell("stop")
}

// Finished waits until a Run has ended.
func (p *Process) Finished() {
	p.h.tb.Helper()
	if e := p.AwaitKind(0, Done); e.Cause != None {
		p.h.tb.Fatalf("worker %d: %s", p.Number, e.Error)
	}
}
