package filequeue

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

// AlarmIsSet reports whether the first of this process who waits in q's directory
// will be woken to look.
func AlarmIsSet(q *Queue) bool {
	d := useDirectory(q.settings.path)
	defer d.done()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.alarm != nil
}
