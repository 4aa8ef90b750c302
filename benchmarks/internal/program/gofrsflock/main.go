// Gofrsflock locks a gofrs/flock once.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/gofrs/flock"
)

func main() {
	f := flock.New(os.Args[1])
	if _, err := f.TryLockContext(context.Background(), time.Millisecond); err != nil {
		log.Fatal(err)
	}
	if err := f.Unlock(); err != nil {
		log.Fatal(err)
	}
}
