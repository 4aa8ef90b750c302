//go:build linux

package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// movingAddress is an address that one server has, and then another.
type movingAddress struct {
	mu   sync.Mutex
	at   string
	open []net.Conn
}

func (a *movingAddress) client(t *testing.T) *redis.Client {
	return redistest.ClientOf(t, "moving", func(o *redis.Options) {
		o.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
			a.mu.Lock()
			at := a.at
			a.mu.Unlock()
			conn, err := new(net.Dialer).DialContext(ctx, network, at)
			if err == nil {
				a.mu.Lock()
				a.open = append(a.open, conn)
				a.mu.Unlock()
			}
			return conn, err
		}
	})
}

// move moves the address, which breaks the connections to where it was.
func (a *movingAddress) move(to *redistest.Server) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = to.Addr
	for _, conn := range a.open {
		conn.Close()
	}
	a.open = nil
}

// The address of the primary moves to its replica, which gives the lock to the next when the
// holder's lease is over, and back to the first, where the holder has gone on all the time.
// Both are in line there and both would be renewed for good.
func TestR24AddressMovesAndBack(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, time.Second, func(lease time.Duration) (kept bool) {
		primary := redistest.StartServer(t)
		host, port, err := net.SplitHostPort(primary.Addr)
		if err != nil {
			t.Fatal(err)
		}
		replica := redistest.StartServer(t, "--replicaof", host, port)
		address := &movingAddress{at: primary.Addr}
		stays := redisqueue.New(primary.Client(), "moves", redisqueue.WithLease(lease))
		holder := lock.New(stays)
		next := lock.New(redisqueue.New(address.client(t), "moves", redisqueue.WithLease(10*lease)))
		faulttest.MustLock(t, holder)
		waiting := faulttest.Lock(t.Context(), t, next)
		faulttest.AwaitLine(t, stays, 2)
		redistest.AwaitReplica(t, primary, replica)

		if err := replica.Client().ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
			t.Fatal(err)
		}
		address.move(replica)
		waiting.Granted()
		address.move(primary)
		replica.Kill()

		select {
		case <-holder.Lost():
			t.Logf("the holder's lease of %v ran out", lease)
			_, _ = holder.Unlock(), next.Unlock()
			return false
		case <-next.Lost():
		case <-time.After(50 * lease):
			t.Fatal("both own, and neither is told")
		}
		faulttest.MustUnlock(t, holder)
		if err := next.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Errorf("the next one's Unlock: %v, want ErrLost", err)
		}
		faulttest.AwaitEmpty(t, stays)
		return true
	})
}
