//go:build linux

package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/fifolock/fifolock/internal/redistest"
)

const (
	roleVariable   = "FIFOLOCK_ROLE"
	configVariable = "FIFOLOCK_WORKER"
	workerRole     = "worker"
)

// Main is the main function of a test binary that uses this package: it runs
// the tests, or it is a worker. commands are what workers can do beside what
// they can do anyway; they are called with what is said after their names.
func Main(m *testing.M, commands map[string]Command) int {
	if os.Getenv(roleVariable) != workerRole {
		return redistest.Main(m)
	}
	var c config
	err := json.Unmarshal([]byte(os.Getenv(configVariable)), &c)
	if err == nil {
		err = runWorker(c, commands)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "worker %d: %v\n", c.Number, err)
		return 1
	}
	return 0
}
