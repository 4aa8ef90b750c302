package redisqueue

import (
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// scripted is a server that answers to EVALSHA as a test says, and has all the slots of a
// Cluster.
func scripted(t *testing.T, evalsha func(c *server.Peer)) string {
	t.Helper()
	s, err := server.NewServer("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	addr := s.Addr().String()
	host, text, err := net.SplitHostPort(addr)
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
			c.WriteBulk(addr)
		},
	} {
		if err := s.Register(name, answer); err != nil {
			t.Fatal(err)
		}
	}
	return addr
}

// A node redirects the requests of a pipeline to another one, which executes them and
// answers none. They are not taken for refused. Where the other one is away, they are.
func TestRedirectedPipelineThatIsNotAnswered(t *testing.T) {
	const requests = 3
	for name, away := range map[string]bool{"not answered": false, "away": true} {
		t.Run(name, func(t *testing.T) {
			var executed atomic.Int32
			to := scripted(t, func(c *server.Peer) {
				if executed.Add(1) == requests {
					c.Close()
				}
			})
			if away {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				to = l.Addr().String()
				l.Close()
			}
			from := scripted(t, func(c *server.Peer) { c.WriteError("MOVED 1 " + to) })
			client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{from}})
			defer client.Close()
			pipeline := client.Pipeline()
			var commands []command
			for range requests {
				r := request{script: registerScript(), keys: []string{"{line}:queue"}}
				commands = append(commands, r.command(t.Context()))
				_ = pipeline.Process(t.Context(), commands[len(commands)-1])
			}
			if _, err := pipeline.Exec(t.Context()); err == nil {
				t.Error("the pipeline has not failed")
			}
			if n := executed.Load(); (n == requests) == away {
				t.Errorf("%d were executed", n)
			}
			for i, c := range commands {
				_, err := c.answer()
				if harmless := isRefusal(err) || isUnsent(err); harmless != away {
					t.Errorf("request %d: %v; want that it is known not to have been executed: %v", i, err, away)
				}
			}
		})
	}
}

// A hook that looks at the arguments of a pipeline that was answered does not take the
// answers away.
func TestHookReadsArguments(t *testing.T) {
	addr := scripted(t, func(c *server.Peer) { c.WriteError("OOM command not allowed") })
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	pipeline := client.Pipeline()
	c := request{script: registerScript()}.command(t.Context())
	_ = pipeline.Process(t.Context(), c)
	_, _ = pipeline.Exec(t.Context())
	_ = c.Args()
	if _, err := c.answer(); !redis.HasErrorPrefix(err, "OOM") {
		t.Errorf("the answer is %v, want OOM", err)
	}
}
