package lock_test

import (
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/queuetest"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// same makes every value of a line the same one.
func same(q queue.TicketQueue) func() queue.TicketQueue {
	return func() queue.TicketQueue { return q }
}

func TestMemory(t *testing.T) {
	runSuite(t, func(*testing.T) func() queue.TicketQueue { return same(memqueue.New()) })
}

func TestMemoryWithLease(t *testing.T) {
	runSuite(t, func(*testing.T) func() queue.TicketQueue { return same(leased(10 * time.Second)) })
}

func TestSixMethods(t *testing.T) {
	runSuite(t, func(*testing.T) func() queue.TicketQueue { return same(queuetest.Bare(memqueue.New())) })
}

func TestFile(t *testing.T) {
	runSuite(t, func(t *testing.T) func() queue.TicketQueue {
		dir := filepath.Join(t.TempDir(), "queue")
		return func() queue.TicketQueue { return filequeue.New(dir) }
	})
}

func TestFileWithStaleTimeout(t *testing.T) {
	testenv.Long(t)
	if runtime.GOOS == "windows" {
		t.Skip("needs eviction by age: run on another system than Windows")
	}
	runSuite(t, func(t *testing.T) func() queue.TicketQueue {
		dir := filepath.Join(t.TempDir(), "queue")
		return func() queue.TicketQueue { return filequeue.New(dir, filequeue.WithStaleTimeout(10*time.Second)) }
	})
}

func TestFileWithSixMethods(t *testing.T) {
	testenv.Long(t)
	runSuite(t, func(t *testing.T) func() queue.TicketQueue {
		dir := filepath.Join(t.TempDir(), "queue")
		return func() queue.TicketQueue { return queuetest.Bare(filequeue.New(dir)) }
	})
}

func TestRedis(t *testing.T) {
	runSuite(t, func(t *testing.T) func() queue.TicketQueue {
		client, name := redistest.Client(t), redistest.Name(t)
		return func() queue.TicketQueue { return redisqueue.New(client, name) }
	})
}

// TestRedisClients has a client for each value, as different processes have.
func TestRedisClients(t *testing.T) {
	testenv.Long(t)
	runSuite(t, func(t *testing.T) func() queue.TicketQueue {
		name := redistest.Name(t)
		return func() queue.TicketQueue { return redisqueue.New(redistest.Client(t), name) }
	})
}

func TestRedisWithSixMethods(t *testing.T) {
	testenv.Long(t)
	runSuite(t, func(t *testing.T) func() queue.TicketQueue {
		client, name := redistest.Client(t), redistest.Name(t)
		return func() queue.TicketQueue {
			q := redisqueue.New(client, name)
			return refreshing{q, q}
		}
	})
}

func TestMiniredis(t *testing.T) {
	testenv.Long(t)
	runSuite(t, func(t *testing.T) func() queue.TicketQueue {
		client, name := redistest.ClientOf(t, redistest.Miniredis(t)), redistest.Name(t)
		return func() queue.TicketQueue { return redisqueue.New(client, name) }
	})
}
