// Rueidislock locks a rueidislock once.
package main

import (
	"context"
	"log"
	"os"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

func main() {
	locker, err := rueidislock.NewLocker(rueidislock.LockerOption{ClientOption: rueidis.ClientOption{InitAddress: []string{os.Args[1]}}})
	if err != nil {
		log.Fatal(err)
	}
	_, unlock, err := locker.WithContext(context.Background(), "name")
	if err != nil {
		log.Fatal(err)
	}
	unlock()
}
