package redisqueue_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/queuetest"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return redisqueue.New(redistest.Client(t), redistest.Name(t))
	})
}

func TestConformanceMiniredis(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return redisqueue.New(redistest.ClientOf(t, redistest.Miniredis(t)), redistest.Name(t))
	})
}

func TestConformanceRing(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": redistest.Addr(t)}})
		t.Cleanup(func() { _ = ring.Close() })
		return redisqueue.New(ring, redistest.Name(t))
	})
}

// A view that one owns is as good as the queue.
func TestConformanceShared(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return redisqueue.New(redistest.Client(t), redistest.Name(t)).Share(1)
	})
}
