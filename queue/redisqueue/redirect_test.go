package redisqueue

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
)

// scripted is a node of a Cluster that answers to EVALSHA, and to CLIENT, as a test says. All
// slots are at the address of a node; at its own if that is empty.
func scripted(t *testing.T, slots string, evalsha func(c *server.Peer), client ...server.Cmd) (addr string) {
	t.Helper()
	s, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	addr = s.Addr().String()
	if slots == "" {
		slots = addr
	}
	host, text, err := net.SplitHostPort(slots)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]server.Cmd{
		"EVALSHA": func(c *server.Peer, _ string, _ []string) { evalsha(c) },
		"CLUSTER": func(c *server.Peer, _ string, _ []string) {
			c.WriteLen(1)
			c.WriteLen(3)
			c.WriteInt(0)
			c.WriteInt(16383)
			c.WriteLen(3)
			c.WriteBulk(host)
			c.WriteInt(port)
			c.WriteBulk(slots)
		},
		"CLIENT": append(client, func(c *server.Peer, _ string, _ []string) { c.WriteOK() })[0],
	} {
		if err := s.Register(name, answer); err != nil {
			t.Fatal(err)
		}
	}
	return addr
}

// mute is a node that executes so many requests and answers none: its connection breaks.
func mute(t *testing.T, requests int32, client ...server.Cmd) (addr string, executed *atomic.Int32) {
	executed = new(atomic.Int32)
	return scripted(t, "", func(c *server.Peer) {
		if executed.Add(1) == requests {
			c.Close()
		}
	}, client...), executed
}

// A request that is not answered is sent again no more often than the options of the client
// say.
func TestRetriesAreTheClients(t *testing.T) {
	executed := new(atomic.Int32)
	addr := scripted(t, "", func(c *server.Peer) {
		executed.Add(1)
		c.Close()
	})
	for what, client := range map[string]redis.UniversalClient{
		"a client":  redis.NewClient(&redis.Options{Addr: addr, MaxRetries: 1}),
		"a Cluster": redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, MaxRedirects: 1}),
		"a Ring": redis.NewRing(&redis.RingOptions{
			Addrs: map[string]string{"one": addr}, MaxRetries: 1, HeartbeatFrequency: time.Hour, // the node knows no PING
		}),
	} {
		executed.Store(0)
		if _, err := New(client, "x").IsEmpty(t.Context()); err == nil {
			t.Errorf("%s: no error without an answer", what)
		}
		if n := executed.Load(); n != 2 {
			t.Errorf("%s was sent %d requests, want 2", what, n)
		}
		_ = client.Close()
	}
}

// pipelined sends requests as a pipeline of a client, and returns what is said of each.
func pipelined(t *testing.T, requests int, client redis.UniversalClient, hooks ...redis.Hook) (errs []error) {
	t.Helper()
	defer client.Close()
	for _, hook := range hooks {
		client.AddHook(hook)
	}
	var groups []*group
	for range requests {
		r := request{script: registerScript(), keys: []string{"{line}:queue"}}
		groups = append(groups, &group{command: r.command(t.Context())})
	}
	s := &sender{client: client}
	s.send(t.Context(), groups)
	for _, b := range groups {
		_, err := b.command.answer()
		errs = append(errs, err)
	}
	return errs
}

// wantExecuted wants all requests to have been executed, and none to be taken for one that
// was not.
func wantExecuted(t *testing.T, errs []error, executed *atomic.Int32, requests int32) {
	t.Helper()
	for i, err := range errs {
		if !isExecuted(err) {
			t.Errorf("request %d: %v, as if it had not been executed", i, err)
		}
	}
	if n := executed.Load(); n != requests {
		t.Errorf("%d were executed", n)
	}
}

// A node redirects the requests of a pipeline to another one, which executes them and
// answers none. They are not taken for refused.
func TestRedirectedPipelineThatIsNotAnswered(t *testing.T) {
	const requests = 3
	to, executed := mute(t, requests)
	from := scripted(t, "", func(c *server.Peer) { c.WriteError("MOVED 1 " + to) })
	wantExecuted(t, pipelined(t, requests, redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{from}})), executed, requests)
}

// A node cannot be reached at first. Then it executes the requests of a pipeline, and
// answers none. They are not taken for unsent.
func TestPipelineThatIsNotAnsweredAfterADial(t *testing.T) {
	const requests = 3
	to, executed := mute(t, requests)
	from := scripted(t, to, func(c *server.Peer) { c.WriteError("ERR not here") })
	var dials atomic.Int32
	errs := pipelined(t, requests, redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{from}, DialerRetries: 1,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == to && dials.Add(1) == 1 {
				return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("refused")}
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}))
	wantExecuted(t, errs, executed, requests)
}

// A node runs a long script of another client's when it is connected to, and refuses what is
// said of the connection. Then it executes the requests of a pipeline, and answers none. They
// are not taken for refused.
func TestPipelineThatIsNotAnsweredAfterARefusal(t *testing.T) {
	const requests = 3
	var asked atomic.Int32
	to, executed := mute(t, requests, func(c *server.Peer, _ string, args []string) {
		if strings.EqualFold(args[0], "setname") && asked.Add(1) == 1 {
			c.WriteError("BUSY Redis is busy running a script.")
		} else {
			c.WriteOK()
		}
	})
	from := scripted(t, to, func(c *server.Peer) { c.WriteError("ERR not here") })
	errs := pipelined(t, requests, redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{from}, ClientName: "report"}))
	wantExecuted(t, errs, executed, requests)
}

// An AutoPipeliner of a Cluster's client makes a pipeline of requests that were sent alone,
// which is redirected, executed and not answered. They are not taken for refused.
func TestPipelineOfAnAutoPipelinerThatIsNotAnswered(t *testing.T) {
	const requests = 3
	to, executed := mute(t, requests)
	from := scripted(t, "", func(c *server.Peer) { c.WriteError("MOVED 1 " + to) })
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{from}})
	defer client.Close()
	pipeliner, err := client.AutoPipelineWithOptions(&redis.AutoPipelineOptions{MaxBatchSize: requests, MaxFlushDelay: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{client: pipeliner}
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			c := request{script: registerScript(), keys: []string{"{line}:queue"}}.command(t.Context())
			s.process(t.Context(), c)
			if _, err := c.answer(); !isExecuted(err) {
				t.Errorf("request %d: %v, as if it had not been executed", i, err)
			}
		})
	}
	all.Wait()
	if n := executed.Load(); n != requests {
		t.Errorf("%d were executed", n)
	}
}

// readsArguments is a hook that looks at the arguments of what was answered.
type readsArguments struct{}

func (readsArguments) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (readsArguments) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (readsArguments) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		err := next(ctx, commands)
		for _, c := range commands {
			_ = c.Args()
		}
		return err
	}
}

// What was answered last is the answer: a redirection to a node that is away, which has
// done nothing, and what a node says. That is so, too, where a hook looks at the arguments,
// but for what is not known then.
func TestLastAnswerOfAPipeline(t *testing.T) {
	to := redistest.FreeAddr(t)
	for answer, code := range map[string]string{
		"MOVED 1 " + to:           "MOVED",
		"OOM command not allowed": "OOM",
	} {
		from := scripted(t, "", func(c *server.Peer) { c.WriteError(answer) })
		for _, hooks := range [][]redis.Hook{nil, {readsArguments{}}} {
			for i, err := range pipelined(t, 3, redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{from}}), hooks...) {
				if !redis.HasErrorPrefix(err, code) || hooks == nil && isExecuted(err) && code == "MOVED" {
					t.Errorf("request %d, hooks %v: %v, want %s", i, hooks, err, code)
				}
			}
		}
	}
}

// What was refused, or not sent, was not executed, also where a hook looks at the arguments
// afterwards: else a release that is sent again, to a server that has given the lock away,
// would be taken for one that was executed the first time.
func TestRefusedPipelineBesideAHook(t *testing.T) {
	refusing := scripted(t, "", func(c *server.Peer) { c.WriteError("READONLY You can't write against a read only replica.") })
	moving := scripted(t, "", func(c *server.Peer) { c.WriteError("MOVED 1 " + redistest.FreeAddr(t)) })
	halfMoved := scripted(t, "", func(c *server.Peer) { c.WriteError("TRYAGAIN Multiple keys request during rehashing of slot") })
	for name, client := range map[string]redis.UniversalClient{
		"refused by a server":             redis.NewClient(&redis.Options{Addr: refusing}),
		"refused by a node of a Cluster":  redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{refusing}}),
		"refused while a slot moves":      redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{halfMoved}}),
		"redirected, which is not obeyed": redis.NewClient(&redis.Options{Addr: moving}),
		"not sent to a server":            redis.NewClient(&redis.Options{Addr: redistest.FreeAddr(t), DialerRetries: 1}),
		"refused by a shard": redis.NewRing(&redis.RingOptions{
			Addrs: map[string]string{"one": refusing}, HeartbeatFrequency: time.Hour, // the node knows no PING
		}),
	} {
		for i, err := range pipelined(t, 3, client, readsArguments{}) {
			if err == nil || isExecuted(err) {
				t.Errorf("%s: request %d: %v, as if it had been executed", name, i, err)
			}
		}
	}
}
