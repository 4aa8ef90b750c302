//go:build linux

package contention

import (
	"path/filepath"
	"testing"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
)

// Many goroutines of many processes come and go without a pause. Now and then one of them
// removes the directory, and one makes it again. A goroutine that comes too late to make
// it joins those that did, of its own process and of others. No call fails, and no holder
// loses the lock.
func TestF30GoroutinesMakeTheDirectory(t *testing.T) {
	const rounds, processes, goroutines = 3, 4, 4
	calls := testenv.Fewer(300)
	h := harness.New(t, faulttest.File(t))
	for range rounds { // each begins without a directory
		workers := h.StartAll(processes)
		file := filepath.Join(t.TempDir(), "calls")
		for _, w := range workers {
			w.Tell("calls", goroutines, calls, file)
		}
		for _, w := range workers {
			if e := w.AwaitKind(0, harness.Said); e.Error != "" {
				t.Error(e.Error)
			}
			w.Kill()
		}
		h.CheckNothingIsLeft()
	}
}
