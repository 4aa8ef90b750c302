// Redislock locks a bsm/redislock once.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
)

func main() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: os.Args[1]})
	held, err := redislock.Obtain(ctx, client, "name", time.Minute, &redislock.Options{RetryStrategy: redislock.LinearBackoff(time.Millisecond)})
	if err != nil {
		log.Fatal(err)
	}
	if err := held.Release(ctx); err != nil {
		log.Fatal(err)
	}
}
