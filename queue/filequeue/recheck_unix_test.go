//go:build unix

package filequeue

import (
	"testing"
	"testing/synctest"
	"time"
)

// A process dies, and nothing tells of it: the first waiter of another process has a hint
// within 40 ms, as Watch says, also if it dies right after a look, and after some of them.
// How long it takes on a machine is measured by benchmarks.
func TestRecheckIsSoon(t *testing.T) {
	_, a, b := twoProcesses(t)
	held, waiting := mustTake(t, a), mustTake(t, b)
	dirA, dirB := useDirectory(a.settings.path), useDirectory(b.settings.path)
	defer dirA.done()
	defer dirB.done()
	synctest.Test(t, func(t *testing.T) {
		dirB.mu.Lock()
		hint := dirB.ticket(waiting).waiter.add() // not by Watch, which listens to files, too
		dirB.setRecheck()
		dirB.mu.Unlock()
		time.Sleep(3 * recheckEvery)
		synctest.Wait()
		select {
		case <-hint:
			t.Error("a hint, and the other process lives")
		default:
		}
		dirA.mu.Lock()
		dirA.ticket(held).close()
		dirA.mu.Unlock()
		died := time.Now()
		<-hint
		if took := time.Since(died); took > 40*time.Millisecond {
			t.Errorf("the hint came %v after the end of the other process", took)
		}
		if err := b.Release(t.Context(), waiting); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * recheckEvery) // the last look: its timer must not be left
	})
}
