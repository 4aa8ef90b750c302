package queuetest_test

import (
	"os"
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

func TestMain(m *testing.M) {
	testenv.Together(8) // TestRunLeases waits
	os.Exit(redistest.Main(m))
}

// Checking a queue of one's own takes one call, in a test. Each property is a
// subtest.
func ExampleRun() {
	var t *testing.T // the argument of TestMyQueue

	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return filequeue.New(t.TempDir()) // your queue here: new and empty each time
	})
}

// TestRun runs what the example shows.
func TestRun(t *testing.T) {
	testenv.Long(t) // the tests of the queues do as much
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue { return filequeue.New(t.TempDir()) })
}

// TestRunOnSixMethods: the checks ask no more of a queue than it must have.
func TestRunOnSixMethods(t *testing.T) {
	queuetest.Run(t, func(*testing.T) queue.TicketQueue { return queuetest.Bare(memqueue.New()) })
}

// TestRunLeases: an owner's place is its own for as long as it says, on files and on
// Redis, whatever a wrapper hides.
func TestRunLeases(t *testing.T) {
	testenv.Long(t)
	const lease = 300 * time.Millisecond
	t.Run("files", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("needs eviction by age: run on another system than Windows")
		}
		queuetest.RunLeases(t, func(t *testing.T) queue.TicketQueue {
			return filequeue.New(filepath.Join(t.TempDir(), "queue"), filequeue.WithStaleTimeout(lease))
		})
	})
	t.Run("redis", func(t *testing.T) {
		queuetest.RunLeases(t, func(t *testing.T) queue.TicketQueue {
			return redisqueue.New(redistest.Client(t), redistest.Name(t), redisqueue.WithLease(lease))
		})
	})
}
