// Fifolockfile locks a file queue once.
package main

import (
	"context"
	"log"
	"os"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/filequeue"
)

func main() {
	m := lock.New(filequeue.New(os.Args[1]))
	if err := m.Lock(context.Background()); err != nil {
		log.Fatal(err)
	}
	if err := m.Unlock(); err != nil {
		log.Fatal(err)
	}
}
