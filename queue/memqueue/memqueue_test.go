package memqueue_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

func TestConformance(t *testing.T) {
	t.Run("lease=none", func(t *testing.T) {
		queuetest.Run(t, func(*testing.T) queue.TicketQueue { return memqueue.New() })
	})
	t.Run("lease=1h", func(t *testing.T) {
		queuetest.Run(t, func(*testing.T) queue.TicketQueue { return memqueue.New(memqueue.WithLease(time.Hour)) })
	})
	t.Run("six methods", func(t *testing.T) {
		queuetest.Run(t, func(*testing.T) queue.TicketQueue { return queuetest.Bare(memqueue.New()) })
	})
}

func TestLeaseRunsOutUnlessRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		q := memqueue.New(memqueue.WithLease(3 * time.Second))
		dead, _ := q.Register(ctx)
		alive, _ := q.Register(ctx)
		for range 10 {
			time.Sleep(time.Second)
			if err := q.Refresh(ctx, alive); err != nil {
				t.Fatalf("Refresh of a living ticket: %v", err)
			}
		}
		if err := q.Refresh(ctx, dead); !errors.Is(err, queue.ErrNotQueued) {
			t.Errorf("Refresh after the lease returned %v, want ErrNotQueued", err)
		}
		if place, err := q.Position(ctx, alive); place.Ahead != 0 || err != nil {
			t.Errorf("Position behind a dead head is %d, %v, want 0", place.Ahead, err)
		}
	})
}
