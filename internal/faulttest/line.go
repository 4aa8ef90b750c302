//go:build linux

package faulttest

import (
	"testing"

	"github.com/fifolock/fifolock/internal/harness"
)

// Line is a holder and waiters behind it, each a worker with one call.
type Line struct {
	*harness.Harness
	Workers []*harness.Process
	Calls   []*harness.Call
}

// NewLine starts n workers that call Lock one after the other. The first holds.
func NewLine(t *testing.T, spec harness.Spec, n int) *Line {
	t.Helper()
	l := &Line{Harness: harness.New(t, spec)}
	l.Tolerant = true
	l.Workers = l.StartAll(n)
	for _, w := range l.Workers {
		c := w.StandInLine()
		l.Calls = append(l.Calls, c)
	}
	l.Calls[0].Granted()
	return l
}

// Drain releases the workers from the i'th on in the order in which they are
// granted, whatever that is, and returns the grants.
func (l *Line) Drain(t *testing.T, from int) []harness.Event {
	t.Helper()
	return l.drain(t, from, func(w *harness.Process) { w.MustUnlock() })
}

// DrainKept is Drain, and reports whether all leases were kept.
func (l *Line) DrainKept(t *testing.T, from int) (grants []harness.Event, kept bool) {
	t.Helper()
	kept = true
	grants = l.drain(t, from, func(w *harness.Process) { kept = Unlocked(t, w) && kept })
	return grants, kept
}

// UnlockAll releases all workers, and reports whether all leases were kept until then.
func (l *Line) UnlockAll(t *testing.T) (kept bool) {
	t.Helper()
	kept = true
	unlock := func(w *harness.Process) {
		e := w.Unlock()
		kept = kept && e.Cause != harness.CauseLost && Kept(l.Harness, len(l.Calls))
		if e.Cause != harness.None && kept {
			t.Errorf("Unlock of worker %d: %s", w.Number, e.Error)
		}
	}
	unlock(l.Workers[0])
	l.drain(t, 1, unlock)
	return kept && Kept(l.Harness, len(l.Calls))
}

func (l *Line) drain(t *testing.T, from int, unlock func(*harness.Process)) []harness.Event {
	t.Helper()
	type grant struct {
		worker int
		event  harness.Event
	}
	grants := make(chan grant, len(l.Calls))
	for i := from; i < len(l.Calls); i++ {
		go func() {
			g := grant{worker: -1} // Granted may end this goroutine, but not the test
			defer func() { grants <- g }()
			g = grant{i, l.Calls[i].Granted()}
		}()
	}
	var events []harness.Event
	for range len(l.Calls) - from {
		g := <-grants
		if g.worker < 0 {
			t.FailNow()
		}
		events = append(events, g.event)
		l.Workers[g.worker].Write()
		unlock(l.Workers[g.worker])
	}
	return events
}

// Unlocked unlocks a worker's hold, and reports whether the hold was kept until then. What
// Unlock returns may be all that says that it was not.
func Unlocked(t *testing.T, w *harness.Process) (kept bool) {
	t.Helper()
	e := w.Unlock()
	if e.Cause != harness.None && e.Cause != harness.CauseLost {
		t.Errorf("Unlock of worker %d: %s", w.Number, e.Error)
	}
	return e.Cause == harness.None
}

// WantLost waits until a worker's hold is lost, and unlocks it. It returns both
// events.
func WantLost(t *testing.T, w *harness.Process) (lost, unlocked harness.Event) {
	t.Helper()
	lost = w.AwaitKind(0, harness.Lost)
	unlocked = w.Unlock()
	if unlocked.Cause != harness.CauseLost {
		t.Errorf("Unlock of a lost hold returned %q, want ErrLost", unlocked.Error)
	}
	return lost, unlocked
}
