//go:build linux

// Package server has the faults of Redis servers, alone, with replicas and in Clusters,
// and of the network before them; those of crash detection, too: what must be noticed as
// the end of a process, and what must not.
package server

import (
	"os"
	"testing"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, map[string]harness.Command{"slots": faulttest.UseSlots}))
}
