// Package redistest gives tests a Redis to talk to, and ways to break it.
//
// Which Redis that is:
//
//   - the one at FIFOLOCK_TEST_REDIS=host:port, if that is set; tests share it
//     by using random names ([Name]);
//   - else a redis-server (or, without one, a valkey-server) of the test
//     binary's own, if the program is in PATH; it ends with the binary;
//   - else a miniredis inside the process, which is not the real thing: tests
//     that need it say so with [NeedReal]. With FIFOLOCK_TEST_REDIS=require it
//     is an error instead.
package redistest

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/testenv"
)

// shared is the server of this test binary, started when the first test asks.
var shared struct {
	sync.Mutex
	process *process
}

// Main runs the tests and ends the binary's own redis-server, for TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
//
// On Linux the server ends with the test binary in any case.
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.process != nil {
		shared.process.kill()
	}
	return code
}

// NeedReal skips a test that miniredis cannot run.
func NeedReal(tb testing.TB) {
	tb.Helper()
	testenv.NeedRedis(tb)
}

// Addr returns the address of the server for tests.
func Addr(tb testing.TB) string {
	tb.Helper()
	if addr := testenv.RedisAddr(); addr != "" {
		if err := given(); err != nil {
			tb.Fatalf("the server that FIFOLOCK_TEST_REDIS names: %v", err)
		}
		return addr
	}
	if !testenv.HasRedis() {
		testenv.FailIfRequired(tb)
		tb.Log("no redis-server or valkey-server in PATH, and FIFOLOCK_TEST_REDIS is not set: using miniredis")
		return Miniredis(tb)
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.process == nil {
		shared.process = startOnFreePort(tb, os.TempDir(), nil, "--save", "", "--appendonly", "no")
	}
	return shared.process.addr
}

// given asks the server that the tests were told to use whether it is there, once:
// or else every test would wait for as long as its client tries.
var given = sync.OnceValue(func() error {
	client := redis.NewClient(&redis.Options{Addr: testenv.RedisAddr()})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return client.Ping(ctx).Err()
})

// Client returns a client of the server for tests, closed with the test.
func Client(tb testing.TB, change ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	return ClientOf(tb, Addr(tb), change...)
}

// ClientOf returns a client of the server at addr, closed with the test.
func ClientOf(tb testing.TB, addr string, change ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	o := &redis.Options{Addr: addr}
	for _, f := range change {
		f(o)
	}
	client := redis.NewClient(o)
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

// Name returns a queue name that no other test uses.
func Name(tb testing.TB) string {
	tb.Helper()
	return tb.Name() + "-" + uuid.NewString()
}

// Keys returns all keys of the queue of that name.
func Keys(tb testing.TB, client redis.UniversalClient, name string) []string {
	tb.Helper()
	var keys []string
	all := client.Scan(context.Background(), 0, "{"+name+"}:*", 1000).Iterator()
	for all.Next(context.Background()) {
		keys = append(keys, all.Val())
	}
	if err := all.Err(); err != nil {
		tb.Fatal(err)
	}
	return keys
}

// minis are the miniredis of the tests that are running, so that a test that
// asks twice gets the same.
var minis struct {
	sync.Mutex
	byTest map[testing.TB]string
}

// Miniredis starts a miniredis for the test and returns its address. Its clock
// runs, which it does not by itself.
func Miniredis(tb testing.TB) string {
	tb.Helper()
	minis.Lock()
	defer minis.Unlock()
	if addr := minis.byTest[tb]; addr != "" {
		return addr
	}
	server := miniredis.RunT(tb)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runClock(ctx, server)
	}()
	if minis.byTest == nil {
		minis.byTest = make(map[testing.TB]string)
	}
	minis.byTest[tb] = server.Addr()
	tb.Cleanup(func() {
		cancel()
		<-ended
		minis.Lock()
		defer minis.Unlock()
		delete(minis.byTest, tb)
	})
	return server.Addr()
}

// runClock makes what has a time to live age.
func runClock(ctx context.Context, server *miniredis.Miniredis) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := time.Now()
			server.FastForward(now.Sub(last))
			last = now
		}
	}
}
