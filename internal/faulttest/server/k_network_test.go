//go:build linux

package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
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

// crowd is a holder at one client and waiters at the far one, which listen.
type crowd struct {
	*faulttest.Paths
	holder   *lock.Mutex
	waiting  *lock.Mutex
	acquired chan struct{}
	calls    []*faulttest.Locking
	cancel   context.CancelFunc
}

// gather lets a crowd come. Their leases are so long that no heartbeat is due.
func gather(t *testing.T, waiters int, holder func(p *faulttest.Paths) *redis.Client) *crowd {
	t.Helper()
	const lease = time.Hour
	c := &crowd{Paths: faulttest.NewPaths(t), acquired: make(chan struct{}, waiters)}
	c.holder = c.Mutex(holder(c.Paths), lease)
	c.waiting = c.Mutex(c.Far, lease, lock.WithTrace(&lock.Trace{
		Acquired: func(queue.Ticket, time.Duration) { c.acquired <- struct{}{} },
	}))
	faulttest.MustLock(t, c.holder)
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(t.Context())
	for range waiters {
		c.calls = append(c.calls, faulttest.Lock(ctx, t, c.waiting))
	}
	faulttest.AwaitLine(t, redisqueue.New(c.Near, c.Name), 1+waiters)
	c.calm(t)
	return c
}

// calm waits until they listen, and look but from time to time.
func (c *crowd) calm(t *testing.T) {
	t.Helper()
	faulttest.AwaitSubscriptions(t, c.Near, 1)
	const mostASecond = 0.5 // of each waiter
	for quiet := 0; quiet < 5; quiet++ {
		looks := c.looks(t)
		began := time.Now()
		time.Sleep(faulttest.Moment)
		if float64(looks()) > mostASecond*float64(len(c.calls))*time.Since(began).Seconds() {
			quiet = -1
		}
	}
}

// looks counts from now on.
func (c *crowd) looks(t *testing.T) func() int {
	t.Helper()
	before := faulttest.ScriptCalls(t, c.Near)
	return func() int { return faulttest.ScriptCalls(t, c.Near) - before }
}

// unusual counts the looks from now on that are not those from time to time, of which
// each waiter has one in 5 s at least.
func (c *crowd) unusual(t *testing.T) func() int {
	t.Helper()
	began, looks := time.Now(), c.looks(t)
	return func() int { return looks() - int(time.Since(began).Seconds()/5*float64(len(c.calls))) }
}

// disperse lets those go that still wait.
func (c *crowd) disperse(t *testing.T) {
	t.Helper()
	c.cancel()
	for _, call := range c.calls {
		if call.Returned() == nil {
			faulttest.MustUnlock(t, c.waiting)
		}
	}
}

// The connection for the wake-ups breaks again and again. Those near the head look,
// and not a thousand each time.
func TestK15SubscriptionBreaksAgainAndAgain(t *testing.T) {
	const waiters, breaks = 1000, 5
	c := gather(t, waiters, func(p *faulttest.Paths) *redis.Client { return p.Near })
	looks := 0
	for range breaks {
		unusual := c.unusual(t)
		// None: on a busy machine it is just being made anew.
		killed := int64(0)
		for killed == 0 {
			c.calm(t)
			killed = faulttest.Do(t, c.Near, "CLIENT KILL TYPE pubsub").(int64)
		}
		if killed != 1 {
			t.Fatalf("%d connections for wake-ups, want 1", killed)
		}
		c.calm(t)
		looks += unusual()
	}
	t.Logf("%d looks of %d waiters, for %d breaks", looks, waiters, breaks)
	if looks > waiters*breaks/2 {
		t.Errorf("%d looks for %d breaks: all of %d waiters look each time", looks, breaks, waiters)
	}
	c.disperse(t)
	faulttest.MustUnlock(t, c.holder)
}

// The answer to a release is lost, with what it may have said to a waiter of the
// same client. Those near the head look, and not a thousand.
func TestK15ReplyToAReleaseIsLost(t *testing.T) {
	const waiters = 1000
	c := gather(t, waiters, func(p *faulttest.Paths) *redis.Client { return p.Far })
	c.Proxy.LoseReplies(faulttest.ReleaseHash(t, c.Server.Client()), 1)
	unusual := c.unusual(t)
	faulttest.MustUnlock(t, c.holder)
	<-c.acquired
	c.calm(t)
	looks := unusual()
	t.Logf("%d looks of %d waiters", looks, waiters)
	if looks > waiters/2 {
		t.Errorf("%d looks of %d waiters for one lost reply", looks, waiters)
	}
	c.disperse(t)
}

// A pool that has no connection to spare just now is something to wait for.
func TestK17PoolIsExhausted(t *testing.T) {
	for what, limit := range map[string]func(o *redis.Options){
		"fewer active than pooled": func(o *redis.Options) { o.PoolSize, o.MaxActiveConns = 10, 2 },
		"a pool of one":            func(o *redis.Options) { o.PoolSize, o.PoolTimeout = 1, 10*time.Millisecond },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			const goroutines, sections = 20, 10
			redistest.NeedReal(t)
			name := redistest.Name(t)
			m := lock.New(redisqueue.New(redistest.Client(t, limit), name))
			var all sync.WaitGroup
			for range goroutines {
				all.Go(func() {
					for range sections {
						if err := m.Lock(t.Context()); err != nil {
							t.Error(err)
							return
						}
						if err := m.Unlock(); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// Other code's command exhausts the pool. Lock and TryLock wait for a connection, as long
// as their ctx lets them.
func TestK17PoolIsExhaustedForAMoment(t *testing.T) {
	t.Parallel()
	p := faulttest.NewPaths(t)
	client := p.Server.Client(func(o *redis.Options) {
		o.PoolSize, o.PoolTimeout, o.ReadTimeout = 1, 10*time.Millisecond, time.Minute
	})
	m := p.Mutex(client, time.Minute)
	for range 3 {
		blocking := make(chan error, 1)
		go func() { blocking <- client.BLPop(t.Context(), 0, "never").Err() }()
		for !strings.Contains(faulttest.Do(t, p.Near, "CLIENT LIST").(string), "cmd=blpop") {
			time.Sleep(time.Millisecond)
		}
		call := faulttest.Lock(t.Context(), t, m)
		short, cancel := context.WithTimeout(t.Context(), faulttest.Moment)
		if err := m.Lock(short); err == nil || short.Err() == nil {
			t.Errorf("Lock returned %v before its ctx ended", err)
		}
		cancel()
		call.StaysBlocked("there is no connection")
		if err := p.Near.LPush(t.Context(), "never", "now").Err(); err != nil {
			t.Fatal(err)
		}
		if err := <-blocking; err != nil {
			t.Fatal(err)
		}
		call.Granted()
		faulttest.MustUnlock(t, m)
	}
}

// A client that talks to something else than it takes it for is told what to do.
func TestK23AdviceForWrongPorts(t *testing.T) {
	t.Parallel()
	sentinel := redistest.StartSentinel(t)
	secure := func(t *testing.T) (server *tlsServer, config *tls.Config) {
		ours := newAuthority(t)
		return startTLS(t, ours.issue(t, 2, time.Now().Add(time.Hour))), &tls.Config{RootCAs: ours.pool}
	}
	for what, c := range map[string]struct {
		client func(t *testing.T) *redis.Client
		advice string // is in the error, in parentheses, in capitals or not
	}{
		"a Sentinel": {func(t *testing.T) *redis.Client { return redistest.ClientOf(t, sentinel.Addrs[0]) }, "sentinel"},
		"a TLS port": {func(t *testing.T) *redis.Client {
			server, _ := secure(t)
			return redistest.ClientOf(t, server.secure)
		}, "tls"},
		"a plain port, with TLS": {func(t *testing.T) *redis.Client {
			server, config := secure(t)
			return tlsClient(t, server.Addr, config, impatient)
		}, "tls"},
		"a replica (as it was)": {func(*testing.T) *redis.Client { return sentinel.Replica.Client() }, "primary"},
		"a Sentinel, with retries": {func(t *testing.T) *redis.Client {
			return redistest.ClientOf(t, sentinel.Addrs[1], func(o *redis.Options) { o.MaxRetries = 5 })
		}, "sentinel"},
	} {
		t.Run(what, func(t *testing.T) {
			m := lock.New(redisqueue.New(c.client(t), "wrong"))
			_, try := m.TryLock(t.Context())
			for operation, err := range map[string]error{"Lock": m.Lock(t.Context()), "TryLock": try} {
				_, advice, ok := strings.Cut(fmt.Sprint(err), "(")
				if err == nil || !ok || !strings.Contains(strings.ToLower(advice), c.advice) {
					t.Errorf("%s returned %v; want what to do: something with %q", operation, err, c.advice)
				}
			}
		})
	}
}
