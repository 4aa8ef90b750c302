package lock

import (
	"context"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// Trace is a set of hooks that are called as a Mutex goes through its states,
// in the manner of net/http/httptrace.ClientTrace. Any of them may be nil, and
// costs nothing then. They may be called concurrently, for different tickets,
// and hold no lock while they run: they may call back into the Mutex. One that
// takes long holds up the call it reports on. When Registered, Waiting or
// Acquired panics, the panic goes through the call, which then owns nothing.
type Trace struct {
	// Registered: t is in line. It may be the head already (Ahead is 0), and
	// Acquired follows. A ticket that is evicted while it waits is followed by
	// another Registered for the same call.
	Registered func(t queue.Ticket)

	// Waiting: t's place in line has changed to ahead, which is above 0. Places
	// that went by between two looks are not reported.
	Waiting func(t queue.Ticket, ahead int)

	// Acquired: t owns the lock. waited is the time since Lock or TryLock was
	// called.
	Acquired func(t queue.Ticket, waited time.Duration)

	// HeartbeatFailed: one heartbeat of t was not answered, or with err. The
	// ticket lives on: it is tried again until the lease may have run out. It
	// is called in a goroutine of its own.
	HeartbeatFailed func(t queue.Ticket, err error)

	// Lost: t owned the lock and was lost; err says why. It is called once, in
	// a goroutine of its own, about when the channel of Mutex.Lost is closed,
	// and not when only Unlock finds out.
	Lost func(t queue.Ticket, err error)

	// Released: Unlock has released the lock that t held, for held.
	Released func(t queue.Ticket, held time.Duration)

	// Evicted: a call of this Mutex has taken t, another one's, out of the line,
	// because its owner was gone: it died, or was cut off for longer than its
	// lease. Everyone in line looks after the head, so of many Mutex values one
	// is told. It is called in a goroutine of its own. A queue that does not
	// tell whom it evicts (see [queue.Evicted]) never has it called.
	Evicted func(t queue.Ticket)
}

// traces are the hooks of a Mutex, in the order in which they were given.
type traces []Trace

// observe returns ctx with what a queue needs to tell of an eviction.
func (t traces) observe(ctx context.Context) context.Context {
	for i := range t {
		if f := t[i].Evicted; f != nil {
			ctx = queue.OnEvicted(ctx, func(tickets []queue.Ticket) {
				go func() { // the queue's call is not held up, and may be a heartbeat
					for _, ticket := range tickets {
						f(ticket)
					}
				}()
			})
		}
	}
	return ctx
}

func (t traces) registered(ticket queue.Ticket) {
	for i := range t {
		if f := t[i].Registered; f != nil {
			f(ticket)
		}
	}
}

func (t traces) waiting(ticket queue.Ticket, ahead int) {
	for i := range t {
		if f := t[i].Waiting; f != nil {
			f(ticket, ahead)
		}
	}
}

func (t traces) acquired(ticket queue.Ticket, waited time.Duration) {
	for i := range t {
		if f := t[i].Acquired; f != nil {
			f(ticket, waited)
		}
	}
}

func (t traces) heartbeatFailed(ticket queue.Ticket, err error) {
	for i := range t {
		if f := t[i].HeartbeatFailed; f != nil {
			f(ticket, err)
		}
	}
}

func (t traces) lost(ticket queue.Ticket, err error) {
	for i := range t {
		if f := t[i].Lost; f != nil {
			f(ticket, err)
		}
	}
}

func (t traces) released(ticket queue.Ticket, held time.Duration) {
	for i := range t {
		if f := t[i].Released; f != nil {
			f(ticket, held)
		}
	}
}
