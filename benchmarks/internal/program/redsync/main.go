// Redsync locks a redsync Mutex once.
package main

import (
	"log"
	"os"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

func main() {
	client := redis.NewClient(&redis.Options{Addr: os.Args[1]})
	m := redsync.New(goredis.NewPool(client)).NewMutex("name")
	if err := m.Lock(); err != nil {
		log.Fatal(err)
	}
	if _, err := m.Unlock(); err != nil {
		log.Fatal(err)
	}
}
