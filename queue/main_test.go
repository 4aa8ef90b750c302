package queue_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fifolock/fifolock/internal/redistest"
)

// TestMain is that of the tests, or of one of the processes they start: those
// have their part in FIFOLOCK_ROLE.
func TestMain(m *testing.M) {
	if role := os.Getenv("FIFOLOCK_ROLE"); role != "" {
		if strings.HasPrefix(role, "file-") {
			fileWorker(role)
			os.Exit(0)
		}
		fmt.Fprintln(os.Stderr, "no such role:", role)
		os.Exit(2)
	}
	goleak.VerifyTestMain(suite{m})
}

// suite ends the redis-server that the tests may have started, and waits for
// those who notice only now and then that their client was closed.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	const patience = 10 * time.Second
	code := redistest.Main(s.m)
	for began := time.Now(); goleak.Find() != nil && time.Since(began) < patience; {
	}
	return code
}
