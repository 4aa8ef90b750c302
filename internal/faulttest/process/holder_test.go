//go:build linux

package process

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
)

// A panic in the section: with a deferred Unlock the lock is released; without
// one, and if the process lives on, it stays locked.
func TestX11Panic(t *testing.T) {
	t.Parallel()
	faulttest.OnBothWithLease(t, 2*time.Second, func(t *testing.T, spec harness.Spec) bool {
		h := harness.New(t, spec)
		a, b := h.Start(), h.Start()
		if e := a.Do("panics", "deferred"); e.Text != "recovered" {
			t.Fatalf("the worker says %+v", e)
		}
		b.Lock().Granted()
		if !faulttest.Unlocked(t, b) {
			return false
		}
		if e := a.Do("panics", "bare"); e.Text != "recovered" {
			t.Fatalf("the worker says %+v", e)
		}
		call := b.StandInLine()
		if !call.IsBlockedFor(3*spec.Stale/2 + faulttest.Moment) { // the heartbeat goes on
			return false
		}
		a.Kill()
		call.Granted()
		if !faulttest.Unlocked(t, b) {
			return false
		}
		h.Check()
		h.CheckNothingIsLeft()
		return true
	})
}

// A Mutex that nothing refers to any more stays locked as long as its process
// lives: the garbage collector unlocks nothing.
func TestX15Garbage(t *testing.T) {
	t.Parallel()
	faulttest.OnBothWithLease(t, 2*time.Second, func(t *testing.T, spec harness.Spec) bool {
		h := harness.New(t, spec)
		a, b := h.Start(), h.Start()
		if e := a.Do("drop"); e.Text != "dropped" {
			t.Fatalf("the worker says %+v", e)
		}
		call := b.StandInLine()
		if !call.IsBlockedFor(3*spec.Stale/2 + faulttest.Moment) {
			return false
		}
		a.Kill()
		call.Granted()
		if !faulttest.Unlocked(t, b) {
			return false
		}
		h.Check()
		h.CheckNothingIsLeft()
		return true
	})
}

// A child of the holder holds nothing: it may outlive the holder.
func TestX16Child(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, b := h.Start(), h.Start()
	a.Lock().Granted()
	defer killChild(t, a.Do("child", "plain"))
	first := b.StandInLine()
	a.MustUnlock()
	first.Granted()
	b.MustUnlock()

	a.Lock().Granted()
	defer killChild(t, a.Do("child", "plain"))
	second := b.StandInLine()
	a.Kill()
	second.Granted()
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// A child that is given the file of the ticket holds the lock on after its
// parent has died: that is how a lock can be handed down.
func TestX17ChildWithTheTicket(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, b := h.Start(), h.Start()
	a.Lock().Granted()
	child := a.Do("child", "with-tickets")
	call := b.StandInLine()
	a.Kill()
	call.StaysBlocked(3 * faulttest.Moment)
	killChild(t, child)
	call.Granted()
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// killChild kills the child with the pid that a worker has told.
func killChild(t *testing.T, said harness.Event) {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(said.Text))
	if err != nil {
		t.Fatalf("the worker says %+v", said)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		t.Error(err)
	}
}

// A holder that burns its processor and its memory keeps its lock or knows that
// it has lost it.
func TestX23BusyHolder(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	spec := faulttest.Redis(t, lease)
	spec.Release = time.Hour // a may take long to unlock
	h := harness.New(t, spec)
	a := h.Start(harness.Environment("GOMAXPROCS=1", "GOGC=20"))
	b := h.Start(harness.With(harness.Redis(h.Spec.Addr, h.Spec.Name, faulttest.LongLease)))
	a.Lock().Granted()
	a.Do("busy")
	b.LockFor(4 * lease)
	end := b.Await(0, "an end", func(e harness.Event) bool {
		return e.Kind == harness.Granted || e.Kind == harness.Cancelled
	})
	unlocked := a.Unlock()
	switch {
	case end.Kind == harness.Granted && unlocked.Cause != harness.CauseLost:
		t.Errorf("somebody else was granted the lock, and Unlock returned %q", unlocked.Error)
	case end.Kind == harness.Granted:
		t.Log("the lock was lost, and the holder knew")
		b.MustUnlock()
	default:
		t.Log("the heartbeats went on")
	}
	h.Check()
	h.CheckNothingIsLeft()
}

// The file of the ticket is closed by other code. The holder finds out when it unlocks,
// and a waiter may have got the lock before.
func TestF39StrayClose(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	h.Losses = true
	a, b := h.Start(), h.Start()
	a.Lock().Granted()
	call := b.StandInLine()
	if e := a.Do("closefds"); e.Text != "closed 1" {
		t.Fatalf("the worker says %+v", e)
	}
	call.Granted()
	if e := a.Unlock(); e.Cause != harness.CauseLost {
		t.Errorf("Unlock returned %q, want ErrLost", e.Error)
	}
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}
