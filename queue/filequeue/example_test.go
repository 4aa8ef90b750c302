package filequeue_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// exampleDirectory makes a directory for an example.
func exampleDirectory() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "fifolock-example-")
	if err != nil {
		log.Fatal(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

// register takes a ticket for an example.
func register(q queue.TicketQueue) queue.Ticket {
	t, err := q.Register(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	return t
}

// A queue in a directory is there while a ticket is in line.
func ExampleNew() {
	dir, remove := exampleDirectory()
	defer remove()
	dir = filepath.Join(dir, "report")

	q := filequeue.New(dir) // no I/O yet
	t := register(q)
	fmt.Println(queue.Release(context.Background(), q, t))
	_, err := os.Stat(dir)
	fmt.Println("nothing is left:", os.IsNotExist(err))
	// Output:
	// <nil>
	// nothing is left: true
}

// Other users of the machine may use the queue, too.
func ExampleWithFileMode() {
	q := filequeue.New("/var/lib/report/lock", filequeue.WithFileMode(0o660)) // all of the group
	t := register(q)
	defer queue.Release(context.Background(), q, t)
}
