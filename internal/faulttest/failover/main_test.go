//go:build linux

package failover

import (
	"os"
	"testing"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, map[string]harness.Command{"slots": faulttest.UseSlots}))
}
