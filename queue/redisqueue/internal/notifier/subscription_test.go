package notifier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/goleak"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
)

// unreachable is a client with subscriptions that panic, as a wrapper's may.
type unreachable struct{}

func (unreachable) Subscribe(context.Context, ...string) *redis.PubSub { panic("not reachable") }

func (unreachable) Ping(ctx context.Context) *redis.StatusCmd {
	cmd := redis.NewStatusCmd(ctx, "ping")
	cmd.SetErr(errors.New("not reachable"))
	return cmd
}

// A client that panics does not end the process (K12).
func TestClientThatPanics(t *testing.T) {
	s := newSubscription(New(unreachable{}, tokenOf))
	defer s.cancel()
	if err := s.listen(); err == nil {
		t.Error("no error from a client that panics")
	}
}

// closing is a client that was closed when it was about to make a pub/sub
// connection: that connection works.
type closing struct{ *redis.Client }

func (closing) Ping(ctx context.Context) *redis.StatusCmd {
	cmd := redis.NewStatusCmd(ctx, "ping")
	cmd.SetErr(redis.ErrClosed)
	return cmd
}

// The subscription ends although its connection has outlived its client.
func TestSubscriptionOfClosedClient(t *testing.T) {
	client := redistest.Client(t)
	before := goleak.IgnoreCurrent()
	n := New(closing{client}, tokenOf)
	_, stop := n.Watch(Ticket{Token: n.NewToken(), Owners: 1})
	testenv.WantNoGoroutines(t, before)
	stop()
}

// Every waiter is woken when the client is closed, however far from the head: it
// will find out by looking (K13).
func TestClosedClientWakesAll(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: redistest.Addr(t)})
	n := New(client, tokenOf)
	var wakes []<-chan queue.Wake
	var last Ticket
	for i := range int64(3 * nearest) {
		last = join(n, "line", i)
		wake, stop := n.Watch(last)
		defer stop()
		wakes = append(wakes, wake)
	}
	for !n.Reliable(last.Token) {
		time.Sleep(time.Millisecond)
	}
	for _, wake := range wakes {
		woken(wake) // that it did not listen at first, and that it listens now
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for _, wake := range wakes {
		<-wake
	}
}

// stuck is a client with a connection in its pool that hangs.
type stuck struct {
	*redis.Client
	free chan struct{}
}

func (c stuck) Ping(ctx context.Context) *redis.StatusCmd {
	<-c.free
	return c.Client.Ping(ctx)
}

// Messages come over a connection of their own, whatever the pool does.
func TestSubscriptionBesideAStuckPool(t *testing.T) {
	client := redistest.Client(t)
	free := make(chan struct{})
	defer close(free)
	n := New(stuck{client, free}, tokenOf)
	ticket := join(n, "line", 1)
	wake, stop := n.Watch(ticket)
	defer stop()
	for { // that there is none, and that there is one, may be one hint
		received, err := client.Publish(t.Context(), n.channel(), ticket.Entry).Result()
		if err != nil {
			t.Fatal(err)
		}
		if received > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for got := queue.WakeHint; got != queue.WakeOwner; {
		got = <-wake
	}
}

// upAfter waits until there is a subscription that was made after that time. It returns
// when it was.
func upAfter(n *Notifier, before time.Time) time.Time {
	for {
		n.mu.Lock()
		up, since := n.listening, n.upSince
		n.mu.Unlock()
		if up && since.After(before) {
			return since
		}
		time.Sleep(time.Millisecond)
	}
}

// busy gives this process one processor, and keeps it busy until the test is over, so that
// its goroutines come late to it.
func busy(t *testing.T, goroutines int) {
	over := new(atomic.Bool)
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() {
		over.Store(true)
		runtime.GOMAXPROCS(before)
	})
	for range goroutines {
		go func() {
			for spins := 0; !over.Load(); spins++ {
			}
		}()
	}
}

// A process that is busy does not take its connection for one that hangs, again and again.
func TestBusyProcessKeepsItsConnection(t *testing.T) {
	testenv.Long(t)
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()}) // in this process, so it is late as well
	defer client.Close()
	n := New(client, tokenOf)
	_, stop := n.Watch(join(n, "line", 1))
	defer stop()
	upAfter(n, time.Time{})
	busy(t, 20)
	looks, down := 0, 0
	for began := time.Now(); time.Since(began) < 3*time.Second; time.Sleep(5 * time.Millisecond) {
		if looks++; !n.isListening() {
			down++
		}
	}
	if down > looks/2 {
		t.Errorf("it was down at %d of %d looks", down, looks)
	}
}

// It notices one that hangs.
func TestBusyProcessNoticesThatAConnectionHangs(t *testing.T) {
	testenv.Long(t)
	n := New(redistest.Client(t), tokenOf)
	_, stop := n.Watch(join(n, "line", 1))
	defer stop()
	upAfter(n, time.Time{})
	busy(t, 8)
	n.mu.Lock()
	s := n.subscription
	n.mu.Unlock()
	err := s.within(shortest, func() error {
		for limit := time.Now().Add(20 * time.Second); n.isListening() && time.Now().Before(limit); {
			time.Sleep(10 * time.Millisecond)
		}
		return nil
	})
	if !errors.Is(err, errHanging) {
		t.Errorf("a call that hangs for 20 s ended with %v", err)
	}
}

func (n *Notifier) isListening() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.listening
}

// A connection that breaks is replaced by one: go-redis does not make one of its own first.
func TestBrokenConnectionIsReplacedOnce(t *testing.T) {
	for range 3 { // a busy machine makes it anew, but not each time
		if replacedOnce(t) {
			return
		}
	}
	t.Error("each time another connection was made")
}

func replacedOnce(t *testing.T) bool {
	server := redistest.StartServer(t)
	client := server.Client()
	n := New(server.Client(), tokenOf)
	_, stop := n.Watch(join(n, "line", 1))
	defer stop()
	first := upAfter(n, time.Time{})
	if err := client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	upAfter(n, first)
	stats := client.InfoMap(t.Context(), "commandstats").Val()["Commandstats"]["cmdstat_subscribe"]
	t.Logf("SUBSCRIBE: %s; want 2 calls", stats)
	return strings.HasPrefix(stats, "calls=2,")
}

// deaf breaks the first connection of a client when it is to be subscribed.
type deaf struct {
	net.Conn
	broken *atomic.Bool
}

func (c deaf) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("subscribe")) && c.broken.CompareAndSwap(false, true) {
		_ = c.Close()
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return c.Conn.Write(b)
}

// A connection that breaks when it is to be subscribed go-redis replaces by one that is not,
// and answers pings.
func TestConnectionThatIsNotSubscribed(t *testing.T) {
	broken := new(atomic.Bool)
	client := redistest.ClientOf(t, redistest.Addr(t), func(o *redis.Options) {
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return deaf{c, broken}, err
		}
	})
	n := New(client, tokenOf)
	p := n.NewPresence("line", 500*time.Millisecond, Server{
		Seen: func(context.Context, string) (string, error) { return "run", nil },
		Sign: func(context.Context, string, string, bool) error { return nil },
	})
	ticket := join(n, "line", 1)
	p.Join(t.Context(), ticket.Token)
	p.Bind(ticket.Token, ticket.Entry, "")
	_, stop := n.Watch(ticket)
	defer stop()
	upAfter(n, time.Time{})
	if !broken.Load() {
		t.Error("no connection broke")
	}
}

// moved is a connection whose server says, when it is told, that another one must be made.
type moved struct {
	net.Conn
	mu         sync.Mutex
	said       []byte // and not read
	subscribed bool
	between    bool // two messages
}

func (c *moved) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.Contains(b, []byte("maint_notifications")) { // Redis and Valkey have them not
		c.said = append(c.said, "+OK\r\n"...)
		return len(b), nil
	}
	c.subscribed = c.subscribed || bytes.Contains(b, []byte("subscribe"))
	return c.Conn.Write(b)
}

func (c *moved) SetReadDeadline(d time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.between = true
	return c.Conn.SetReadDeadline(d)
}

func (c *moved) Read(b []byte) (int, error) {
	c.mu.Lock()
	if c.between && len(c.said) > 0 {
		defer c.mu.Unlock()
		n := copy(b, c.said)
		c.said = c.said[n:]
		return n, nil
	}
	c.between = false
	c.mu.Unlock()
	return c.Conn.Read(b)
}

func (c *moved) move() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscribed {
		addr := c.RemoteAddr().String()
		c.said = fmt.Appendf(c.said, ">4\r\n$6\r\nMOVING\r\n:1\r\n:10\r\n$%d\r\n%s\r\n", len(addr), addr)
	}
}

// A connection that go-redis replaces without a word, because the server moves to another
// address, was not there for a while: what was published then is lost, and with crash
// detection the process was absent.
func TestConnectionIsReplacedWithoutAWord(t *testing.T) {
	var mu sync.Mutex
	var connections []*moved
	client := redistest.ClientOf(t, redistest.StartServer(t).Addr, func(o *redis.Options) {
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeEnabled}
		o.Dialer = func(_ context.Context, network, addr string) (net.Conn, error) { // obeys no ctx, as with TLS
			c, err := net.Dial(network, addr)
			mu.Lock()
			defer mu.Unlock()
			m := &moved{Conn: c}
			connections = append(connections, m)
			return m, err
		}
	})
	n := New(client, tokenOf)
	_, stop := n.Watch(join(n, "line", 1))
	defer stop()
	first := upAfter(n, time.Time{})
	mu.Lock()
	for _, c := range connections {
		c.move()
	}
	mu.Unlock()
	upAfter(n, first)
}
