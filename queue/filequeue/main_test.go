package filequeue_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/internal/testenv"
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
	testenv.Main(m.Run)
}
