// Package queuetest checks that an implementation of [queue.TicketQueue] keeps
// its contract, the optional interfaces included, in the manner of
// testing/fstest and testing/slogtest.
//
//	func TestMyQueue(t *testing.T) {
//		queuetest.Run(t, func(t *testing.T) queue.TicketQueue { return newMyQueue(t) })
//	}
//
// [Run] needs no time to go by. [RunLeases] checks a queue with tickets that have a
// lease, [RunEviction] one with owners that can be made to die. What only a crash or a
// loss of the storage shows is not checked: that the living are never evicted, and that
// numbers ascend all the same.
//
// # Wrappers
//
// A wrapper around a queue may hide optional interfaces: they only ever make things
// faster, or add to them, and never make them safe. Run checks each queue behind
// wrappers that hide one of them, and all. A wrapper must keep the [queue.Ticket]
// with all its fields, the errors as errors.Is and errors.As see them, and the ctx,
// through which a queue tells of evictions. A wrapper that hides Refresh around a queue
// of tickets with a lease cannot be used with package lock, which says so.
package queuetest

import (
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// pollInterval is the pause between two looks of a test at a condition.
const pollInterval = time.Millisecond

// property is one rule, and its check.
type property struct {
	name  string
	check func(*tester)
}

// Run checks the queues that newQueue makes, each property in a subtest named
// after it: as they are, behind wrappers that hide optional interfaces ([Hidden]),
// and, if they are of [queue.Sharer], the views that one or several own. Every call
// of newQueue must return an empty queue that nothing else uses, and release its
// resources with t.Cleanup. A queue with a lease must have one of at least some
// seconds: most subtests send no heartbeats.
func Run(t *testing.T, newQueue func(t *testing.T) queue.TicketQueue) {
	check(t, newQueue, basic, optional)
	q := newQueue(t)
	for name := range Hidden(q) {
		t.Run("without "+name, func(t *testing.T) {
			check(t, func(t *testing.T) queue.TicketQueue { return Hidden(newQueue(t))[name] }, optional)
		})
	}
	if isShared(q) {
		runShare(t, newQueue)
	}
}

// isShared reports whether q has views. A wrapper of a queue without Share has none, but
// has the method.
func isShared(q queue.TicketQueue) bool {
	s, ok := q.(queue.Sharer)
	return ok && s.Share(1) != nil
}

// check checks the properties, each on a queue of its own.
func check(t *testing.T, newQueue func(t *testing.T) queue.TicketQueue, of ...[]property) {
	for _, properties := range of {
		for _, p := range properties {
			t.Run(p.name, func(t *testing.T) {
				l := &tester{T: t, q: newQueue(t)}
				t.Cleanup(l.clear)
				p.check(l)
			})
		}
	}
}
