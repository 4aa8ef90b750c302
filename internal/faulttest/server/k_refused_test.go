//go:build linux

package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// SUBSCRIBE is refused to a queue. It serves its waiters like a queue that tells them
// nothing: they look as often. Lines of both kinds are served in turn.
func TestK16SubscribeIsRefused(t *testing.T) {
	const waiters, rounds = 12, 10
	server := redistest.StartServer(t)
	admin := server.Client()
	faulttest.Do(t, admin, "ACL SETUSER mute on >secret +@all -subscribe -psubscribe -ssubscribe ~* &*")
	mute := func() *redis.Client {
		return server.Client(func(o *redis.Options) { o.Username, o.Password = "mute", "secret" })
	}
	serve := func(name string, wrap func(*redisqueue.Queue) queue.TicketQueue) time.Duration {
		var all []*lock.Mutex // each of another client
		for range waiters {
			all = append(all, lock.New(wrap(redisqueue.New(mute(), name))))
		}
		line := redisqueue.New(admin, name)
		head := faulttest.MustRegister(t, line)
		var served sync.WaitGroup
		for i, m := range all {
			call := faulttest.Lock(t.Context(), t, m)
			faulttest.AwaitLine(t, line, 2+i)
			served.Go(func() {
				if err := call.Returned(); err != nil {
					t.Error(err)
				} else if err := m.Unlock(); err != nil {
					t.Error(err)
				}
			})
		}
		began := time.Now()
		if err := line.Release(t.Context(), head); err != nil {
			t.Fatal(err)
		}
		served.Wait()
		return time.Since(began)
	}
	// A pause of the machine makes a round longer, none makes one shorter: of both kinds the
	// shortest round counts, of as many as a busy machine needs.
	var refused, untold []time.Duration
	for i := range rounds {
		refused = append(refused, serve(fmt.Sprint("refused-", i), func(q *redisqueue.Queue) queue.TicketQueue { return q }))
		untold = append(untold, serve(fmt.Sprint("untold-", i), func(q *redisqueue.Queue) queue.TicketQueue { return deaf{q} }))
		if i >= 3 && slices.Min(refused) <= 3*slices.Min(untold) {
			t.Logf("%d hand-offs: %v where SUBSCRIBE is refused, %v where no waiter is told", waiters, refused, untold)
			return
		}
	}
	t.Errorf("%d hand-offs take %v where SUBSCRIBE is refused, and %v where no waiter is told", waiters, refused, untold)
}

// deaf is a queue that has no wake-ups, and says so.
type deaf struct{ *redisqueue.Queue }

func (deaf) Watch(context.Context, queue.Ticket) (<-chan queue.Wake, func(), error) {
	return nil, func() {}, fmt.Errorf("deaf")
}
