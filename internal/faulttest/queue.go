//go:build linux

package faulttest

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
)

// File is a queue in a directory of the test's own.
func File(t *testing.T) harness.Spec {
	return harness.File(filepath.Join(t.TempDir(), "queue"))
}

// Redis is a queue of the test's own in the shared server.
func Redis(t *testing.T, lease time.Duration) harness.Spec {
	t.Helper()
	redistest.NeedReal(t)
	return harness.Redis(redistest.Addr(t), redistest.Name(t), lease)
}

// OnBothWithLease is [OnBoth] for an attempt at something that shows that leases are kept:
// see [WithLease]. On a file queue there is none that could run out.
func OnBothWithLease(t *testing.T, lease time.Duration, attempt func(t *testing.T, spec harness.Spec) (kept bool)) {
	t.Run("file", func(t *testing.T) {
		if !attempt(t, File(t)) {
			t.Error("a hold was lost, and there is no lease")
		}
	})
	t.Run("redis", func(t *testing.T) {
		WithLease(t, lease, func(lease time.Duration) bool { return attempt(t, Redis(t, lease)) })
	})
}

// OnBoth runs a test on a file queue, and on Redis with the lease.
func OnBoth(t *testing.T, lease time.Duration, test func(t *testing.T, spec harness.Spec)) {
	t.Run("file", func(t *testing.T) { test(t, File(t)) })
	t.Run("redis", func(t *testing.T) { test(t, Redis(t, lease)) })
}
