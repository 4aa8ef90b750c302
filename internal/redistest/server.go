package redistest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/testenv"
)

// startAttempts is how many ports are tried: another process may take the one
// that was free a moment before.
const startAttempts = 5

// process is a running redis-server.
type process struct {
	addr string
	cmd  *exec.Cmd
}

// Server is a redis-server of one test, to be stopped, started again, and
// paused. Its address stays the same. Its methods fail the test on errors.
type Server struct {
	Addr string

	tb      testing.TB
	dir     string
	env     []string // beside the test's
	args    []string
	process *process // nil while it is stopped
}

// StartServer starts a redis-server for one test, without persistence unless
// the arguments say otherwise; it skips the test if there is none in PATH. The
// first argument may be the path of a configuration.
func StartServer(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return StartServerIn(tb, nil, args...)
}

// StartServerIn is StartServer with variables in the server's environment.
func StartServerIn(tb testing.TB, env []string, args ...string) *Server {
	tb.Helper()
	testenv.NeedRedisServer(tb)
	defaults := []string{"--save", "", "--appendonly", "no"}
	at := 0
	if len(args) > 0 && !strings.HasPrefix(args[0], "--") {
		at = 1 // a configuration must stay the first
	}
	s := &Server{tb: tb, dir: tb.TempDir(), env: env, args: slices.Insert(slices.Clone(args), at, defaults...)}
	s.process = startOnFreePort(tb, s.dir, s.env, s.args...)
	s.Addr = s.process.addr
	tb.Cleanup(s.Kill)
	return s
}

// Client returns a client of the server, closed with the test.
func (s *Server) Client(change ...func(*redis.Options)) *redis.Client {
	s.tb.Helper()
	return ClientOf(s.tb, s.Addr, change...)
}

// Kill ends the server as a crash does. Nothing is saved that was not before.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.kill()
		s.process = nil
	}
}

// Start starts the server again at the same address, with what it had saved.
func (s *Server) Start() {
	s.tb.Helper()
	p, err := start(s.dir, s.Addr, s.env, s.args...)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.process = p
}

// Pause stops the server in its tracks; its connections stay. Where processes
// cannot be stopped, it skips the test.
func (s *Server) Pause() {
	s.tb.Helper()
	testenv.NeedSignals(s.tb)
	if err := pause(s.process.cmd.Process); err != nil {
		s.tb.Fatal(err)
	}
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	s.tb.Helper()
	if err := resume(s.process.cmd.Process); err != nil {
		s.tb.Fatal(err)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // says how it ended, which we know
}

func startOnFreePort(tb testing.TB, dir string, env []string, args ...string) *process {
	tb.Helper()
	var err error
	for range startAttempts {
		addr := FreeAddr(tb)
		var p *process
		if p, err = start(dir, addr, env, args...); err == nil {
			return p
		}
	}
	tb.Fatal(err)
	return nil
}

// FreeAddr returns an address that is free, and that no other test is given before this one
// is over: not while its server is down either, or clients that look for that server would
// talk to another test's. No system gives away its port by itself. The nodes of a Cluster
// talk to each other at a second port, 10,000 above the first.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	const first, last, bus, attempts = 11_000, 22_000, 10_000, 1000 // below the ports that systems give away by themselves
	var err error
	for range attempts {
		port := first + rand.IntN(last-first)
		var reserved io.Closer
		if reserved, err = reserve(port); err != nil {
			continue
		}
		var addr string
		if addr, err = listenBriefly(port); err == nil {
			_, err = listenBriefly(port + bus)
		}
		if err == nil {
			tb.Cleanup(func() { _ = reserved.Close() })
			return addr
		}
		_ = reserved.Close()
	}
	tb.Fatal(err)
	return ""
}

func listenBriefly(port int) (addr string, err error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// start runs a redis-server and returns when it answers.
func start(dir, addr string, env []string, args ...string) (*process, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	args = append(slices.Clone(args), "--bind", host, "--port", port, "--dir", dir)
	path, err := testenv.RedisServer()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = dieWithUs()
	log, err := os.Create(filepath.Join(dir, "redis-"+port+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	defer os.Remove(log.Name()) // the server has it open; nothing is left to tidy up
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{addr, cmd}
	if err := answers(p); err != nil {
		p.kill()
		said, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%s at %s: %w\n%s", path, addr, err, said)
	}
	return p, nil
}

// answers waits until the server of that process answers.
func answers(p *process) error {
	client := redis.NewClient(&redis.Options{Addr: p.addr, MaxRetries: -1})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		info, err := client.InfoMap(ctx, "server").Result()
		if err == nil && info["Server"]["process_id"] == fmt.Sprint(p.cmd.Process.Pid) {
			return nil
		}
		if err == nil {
			return fmt.Errorf("another server has the port")
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}
