//go:build unix

package filequeue_test

import (
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

func TestEvicted(t *testing.T) {
	queuetest.RunEviction(t, func(t *testing.T) queuetest.Mortal {
		f := newFileFixture(t)
		return queuetest.Mortal{
			TicketQueue: f.q,
			Join: func() func() {
				w := f.hold()
				return func() { w.kill() }
			},
			DeadAfter: func(queue.Ticket) { f.hold().kill() },
		}
	})
}

// An eviction by age on files is told as one by proof is.
func TestEvictedByAge(t *testing.T) {
	f := newFileFixture(t, filequeue.WithStaleTimeout(10*time.Millisecond))
	stale := f.register()
	var evicted []queue.Ticket
	ctx := queue.OnEvicted(t.Context(), func(tickets []queue.Ticket) { evicted = append(evicted, tickets...) })
	for len(evicted) == 0 {
		f.must("CleanupStale", f.q.CleanupStale(ctx))
	}
	if len(evicted) != 1 || evicted[0].Member != stale.Member {
		t.Errorf("told of %v, want %v", evicted, stale)
	}
	f.q.MaybeCleanup(t.Context())
}
