// Package testenv finds what tests need of the machine: programs of the system,
// and a Redis server. Where one is missing the test is skipped, and says what to
// install; where the tests are meant to run completely, it fails instead:
//
//	FIFOLOCK_TEST_TOOLS=require   a missing program is a failure
//	FIFOLOCK_TEST_REDIS=require   a missing Redis server is a failure
//	FIFOLOCK_TEST_REDIS=host:port the Redis server is this one
package testenv

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

const (
	toolsVariable = "FIFOLOCK_TEST_TOOLS"
	redisVariable = "FIFOLOCK_TEST_REDIS"
	require       = "require"
)

// servers are the programs that do as a Redis server, the preferred one first.
var servers = []string{"redis-server", "valkey-server"}

// Need skips the test if one of the programs is not installed.
func Need(tb testing.TB, programs ...string) {
	tb.Helper()
	for _, program := range programs {
		_, err := exec.LookPath(program)
		switch {
		case err == nil:
		case os.Getenv(toolsVariable) == require:
			tb.Fatalf("%v: install it, or unset %s", err, toolsVariable)
		default:
			tb.Skipf("%v: install it; CONTRIBUTING.md names the packages", err)
		}
	}
}

// Unable skips a test that cannot do what any machine with the programs of CONTRIBUTING.md
// can: where the tests are meant to run completely, that is a failure. What a container or
// a kernel may rightly lack is a plain Skip.
func Unable(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv(toolsVariable) == require {
		tb.Fatalf(format+" (or unset "+toolsVariable+")", args...)
	} else {
		tb.Skipf(format, args...)
	}
}

// NeedRoot skips the test if it is not run by root.
func NeedRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root: run with sudo go test")
	}
}

// NeedSignals skips the test where a process cannot be interrupted or stopped.
func NeedSignals(tb testing.TB) {
	tb.Helper()
	if runtime.GOOS == "windows" {
		tb.Skip("needs signals: run on another system than Windows")
	}
}

// Long skips a test with -short, which is for what a developer runs again and again.
func Long(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("long: run without -short")
	}
}

// RedisAddr returns the address of the server that the tests were told to use,
// or "".
func RedisAddr() string {
	if addr := os.Getenv(redisVariable); addr != require {
		return addr
	}
	return ""
}

// RedisServer returns the path of the server's program in PATH.
func RedisServer() (string, error) {
	var first error
	for _, name := range servers {
		path, err := exec.LookPath(name)
		if err == nil {
			return path, nil
		}
		if first == nil {
			first = err
		}
	}
	return "", first
}

// HasRedis reports whether there is a server, of either kind.
func HasRedis() bool {
	_, err := RedisServer()
	return err == nil || RedisAddr() != ""
}

// NeedRedis skips the test if there is no server.
func NeedRedis(tb testing.TB) {
	tb.Helper()
	if !HasRedis() {
		missingRedis(tb)
	}
}

// NeedRedisServer skips the test if there is no server that it can start by
// itself.
func NeedRedisServer(tb testing.TB) {
	tb.Helper()
	if _, err := RedisServer(); err != nil {
		missingRedis(tb)
	}
}

// FailIfRequired fails a test that has no server but must have one.
func FailIfRequired(tb testing.TB) {
	tb.Helper()
	if os.Getenv(redisVariable) == require && !HasRedis() {
		tb.Fatalf("there is no redis-server or valkey-server in PATH, and %s is %q", redisVariable, require)
	}
}

func missingRedis(tb testing.TB) {
	tb.Helper()
	FailIfRequired(tb)
	tb.Skipf("needs a Redis server: install redis-server or valkey-server, or set %s=host:port", redisVariable)
}
