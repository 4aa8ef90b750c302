//go:build linux

package faulttest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m, commands)) }

// aMoment is how long somebody is seen to be still waiting.
const aMoment = 100 * time.Millisecond

// file is a queue in a directory of the test's own.
func file(t *testing.T) harness.Spec {
	return harness.File(filepath.Join(t.TempDir(), "queue"))
}

// redisQueue is a queue of the test's own in the shared server.
func redisQueue(t *testing.T, lease time.Duration) harness.Spec {
	t.Helper()
	redistest.NeedReal(t)
	return harness.Redis(redistest.Addr(t), redistest.Name(t), lease)
}

// onBoth runs a test on a file queue, and on Redis with the lease.
func onBoth(t *testing.T, lease time.Duration, test func(t *testing.T, spec harness.Spec)) {
	t.Run("file", func(t *testing.T) { test(t, file(t)) })
	t.Run("redis", func(t *testing.T) { test(t, redisQueue(t, lease)) })
}

// quantiles returns the p50 and p99 of durations.
func quantiles(durations []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(durations)
	return durations[len(durations)/2], durations[len(durations)*99/100]
}

func since(from, to harness.Event) time.Duration { return time.Duration(to.At - from.At) }
