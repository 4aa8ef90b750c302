//go:build linux

package contention

import (
	"os"
	"testing"

	"github.com/fifolock/fifolock/internal/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m, commands)) }
