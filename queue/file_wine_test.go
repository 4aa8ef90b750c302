package queue_test

import (
	"os"
	"runtime"
	"testing"
)

// skipOnWindows skips a test of what there is not on Windows.
func skipOnWindows(t *testing.T, why string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("on Windows " + why)
	}
}

// underWine reports whether this is Wine's Windows, as internal/wine runs it: a
// few things there are not as they are on Windows.
func underWine() bool { return os.Getenv("FIFOLOCK_WINE") != "" }
