//go:build linux

package harness

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
)

const (
	roleVariable   = "FIFOLOCK_ROLE"
	configVariable = "FIFOLOCK_WORKER"
	workerRole     = "worker"
)

// Main is the main function of a test binary that uses this package: it runs
// the tests, or it is a worker. commands are what workers can do beside what
// they can do anyway; they are called with what is said after their names. With
// -short there are no tests with workers.
func Main(m *testing.M, commands map[string]Command) int {
	if os.Getenv(roleVariable) != workerRole {
		flag.Parse()
		if testing.Short() {
			fmt.Println("-short: no test with processes of its own was run")
			_ = flag.Set("test.run", "^$") // go test caches no result without m.Run
		}
		takeIgnored()
		testenv.Together(4) // they wait, for processes and for leases, most of their time
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

// ending are the signals that end a process unless it ignores them.
var ending = []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM}

// takeIgnored undoes what nohup, and a shell that starts something in the
// background, do to the tests: workers would ignore the signals that we ignore,
// but not those that we handle.
func takeIgnored() {
	for _, s := range ending {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}
