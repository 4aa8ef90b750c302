// Fifolockredis locks a Redis queue once.
package main

import (
	"context"
	"log"
	"os"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
	"github.com/redis/go-redis/v9"
)

func main() {
	client := redis.NewClient(&redis.Options{Addr: os.Args[1]})
	m := lock.New(redisqueue.New(client, "name"))
	if err := m.Lock(context.Background()); err != nil {
		log.Fatal(err)
	}
	if err := m.Unlock(); err != nil {
		log.Fatal(err)
	}
}
