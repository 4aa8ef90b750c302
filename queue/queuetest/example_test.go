package queuetest_test

import (
	"testing"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/memqueue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

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
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue { return filequeue.New(t.TempDir()) })
}

// TestRunOnSixMethods: the checks ask no more of a queue than it must have.
func TestRunOnSixMethods(t *testing.T) {
	queuetest.Run(t, func(*testing.T) queue.TicketQueue { return queuetest.Bare(memqueue.New()) })
}
