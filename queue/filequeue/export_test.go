package filequeue

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/uuid"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// ContentOffset is where the content of seq begins.
const ContentOffset = lockedfile.ContentOffset

// HiddenAt is where the last process that leaves moves the directory, to remove it.
func HiddenAt(dir string) string {
	id := uuid.NewSHA1(uuid.Nil, []byte(filepath.Base(dir)))
	return filepath.Join(filepath.Dir(dir), fmt.Sprintf(".new.%x", id[:]))
}

// SkipOnWindows skips a test of what there is not on Windows.
func SkipOnWindows(t *testing.T, why string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("on Windows " + why + ": run on another system")
	}
}

// RecheckIsSet reports whether the owners of q's directory will be examined for this
// process.
func RecheckIsSet(q *Queue) bool {
	d := useDirectory(q.settings.path)
	defer d.done()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.recheck != nil
}
