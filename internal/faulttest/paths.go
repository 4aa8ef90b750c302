//go:build linux

package faulttest

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// Paths are two ways to a server of the test's own: one directly, and one through
// a network that fails.
type Paths struct {
	Server *redistest.Server
	Near   *redis.Client
	Far    *redis.Client
	Proxy  *redistest.Proxy
	Name   string // of the lock
	Keys   string // what is in every request of the lock's, and in no other
}

// NewPaths starts a server, with the arguments, and the network in front of it. The
// server knows all scripts. The far client gives up nothing by itself.
func NewPaths(t *testing.T, args ...string) *Paths {
	t.Helper()
	p := &Paths{Server: redistest.StartServer(t, args...), Name: "report"}
	p.Keys = "{" + p.Name + "}:"
	p.Near = p.Server.Client()
	Warm(t, p.Near)
	p.Proxy = redistest.NewProxy(t, p.Server.Addr)
	p.Far = redistest.ClientOf(t, p.Proxy.Addr, func(o *redis.Options) { o.ReadTimeout = time.Minute })
	return p
}

// Mutex is one on the lock, through the near or the far client.
func (p *Paths) Mutex(client *redis.Client, lease time.Duration, opts ...lock.Option) *lock.Mutex {
	return lock.New(redisqueue.New(client, p.Name, redisqueue.WithLease(lease)), opts...)
}

// Vanish deletes keys of the lock: all of them, or the leases.
func (p *Paths) Vanish(t *testing.T, leases bool) {
	t.Helper()
	deleted := 0
	for _, key := range redistest.Keys(t, p.Near, p.Name) {
		if leases && (strings.HasSuffix(key, ":queue") || strings.HasSuffix(key, ":seq")) {
			continue
		}
		deleted += int(p.Near.Del(t.Context(), key).Val())
	}
	if deleted == 0 {
		t.Fatal("there was nothing to delete")
	}
}

// InUse reports whether there is a line, or a number that was given in it.
func (p *Paths) InUse(t *testing.T) bool {
	t.Helper()
	n, err := p.Near.Exists(t.Context(), p.Keys+"queue", p.Keys+"seq").Result()
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// Listen makes the client listen for wake-ups, by waiting behind a ticket in another
// line. Nothing is sent for that ticket any more.
func (p *Paths) Listen(t *testing.T, client *redis.Client) {
	t.Helper()
	MustRegister(t, redisqueue.New(p.Near, "other"))
	behind := redisqueue.New(client, "other")
	_, stop, err := behind.Watch(t.Context(), MustRegister(t, behind))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	AwaitSubscriptions(t, p.Near, 1)
}
