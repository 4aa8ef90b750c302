package redisqueue_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// register takes a ticket for an example.
func register(q queue.TicketQueue) queue.Ticket {
	t, err := q.Register(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	return t
}

// Any client of go-redis will do: of one server, of Sentinel, of a Cluster.
func ExampleNew() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()

	q := redisqueue.New(client, "report")
	t := register(q)
	fmt.Println("ticket", t.Number)
	if err := queue.Release(context.Background(), q, t); err != nil {
		log.Fatal(err)
	}
}

// A master that Sentinel looks after.
func ExampleNew_sentinel() {
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName:    "main",
		SentinelAddrs: []string{"sentinel1:26379", "sentinel2:26379", "sentinel3:26379"},
	})
	defer client.Close()

	t := register(redisqueue.New(client, "report"))
	fmt.Println("ticket", t.Number)
}

// On Redis it is the lease of a ticket. A short one frees the lock of a dead
// holder sooner, and is lost sooner by one that is merely cut off.
func ExampleWithLease() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()

	q := redisqueue.New(client, "report", redisqueue.WithLease(10*time.Second))
	t := register(q)
	fmt.Println("believed for", t.Lease)
}
