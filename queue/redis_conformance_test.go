package queue_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

func TestRedisConformance(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return queue.NewRedis(redistest.Client(t), redistest.Name(t))
	})
}

func TestRedisConformanceMiniredis(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return queue.NewRedis(redistest.ClientOf(t, redistest.Miniredis(t)), redistest.Name(t))
	})
}

func TestRedisConformanceRing(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": redistest.Addr(t)}})
		t.Cleanup(func() { _ = ring.Close() })
		return queue.NewRedis(ring, redistest.Name(t))
	})
}
