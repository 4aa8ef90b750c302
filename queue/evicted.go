package queue

import "context"

type evictedKey struct{}

// OnEvicted returns a ctx with which a queue tells f the tickets that a call
// has evicted, in order: it took them out of the line because their owners
// were gone. They have a Number and a Member, and may have no more. It is for logs and
// metrics, in the manner of net/http/httptrace.WithClientTrace.
//
// f is called before the method returns, without any lock of the queue; so it
// holds up the call. Each eviction is told to the one call that did it, or to
// none if the answer to that call was lost, or if the queue did it by itself. f must return:
// where it panics, or ends the goroutine, the ticket that the call has taken stays in line
// for as long as its owner lives, or for its lease. An f that ctx has already is called as
// well, afterwards.
func OnEvicted(ctx context.Context, f func([]Ticket)) context.Context {
	before, _ := ctx.Value(evictedKey{}).(func([]Ticket))
	return context.WithValue(ctx, evictedKey{}, func(tickets []Ticket) {
		f(tickets)
		if before != nil {
			before(tickets)
		}
	})
}

// Evicted tells the f of [OnEvicted], if the ctx has one, that the call with
// this ctx has evicted the tickets. It is for implementations of a queue, which
// call it while they hold no lock. Without tickets it does nothing.
func Evicted(ctx context.Context, tickets []Ticket) {
	if len(tickets) == 0 {
		return
	}
	if f, _ := ctx.Value(evictedKey{}).(func([]Ticket)); f != nil {
		f(tickets)
	}
}
