package queue

import (
	"runtime"
	"testing"
)

// ContentOffset is where the content of seq begins.
const ContentOffset = contentOffset

// SkipOnWindows skips a test of what there is not on Windows.
func SkipOnWindows(t *testing.T, why string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("on Windows " + why)
	}
}
