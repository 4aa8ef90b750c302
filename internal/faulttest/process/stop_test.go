//go:build linux

package process

import (
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
)

// A stopped holder keeps the lock of a file queue for as long as it is stopped.
func TestX07StoppedHolderOnFile(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, b, c := h.Start(), h.Start(), h.Start()
	a.Lock().Granted()
	call := b.StandInLine()
	a.Stop()
	call.StaysBlocked(3 * faulttest.Moment)
	if e, ok := c.TryLock(); ok {
		t.Errorf("TryLock got the lock of a stopped holder: %+v", e)
	}
	a.Continue()
	if e := a.Write(); e.Stale {
		t.Error("the resource refuses the token of a holder that was stopped")
	}
	a.MustUnlock()
	call.Granted()
	b.Write()
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// On Redis a holder that is stopped past its lease loses the lock, and learns of it. What
// it does then touches no other owner.
func TestX07StoppedHolderOnRedis(t *testing.T) {
	t.Parallel()
	h := harness.New(t, faulttest.Redis(t, 5*time.Second))
	a, b, c := h.Start(), h.Start(), h.Start()
	first := a.Lock().Granted()
	call := b.StandInLine()
	a.Stop()
	second := call.Granted()
	if second.Ticket <= first.Ticket {
		t.Errorf("token %d comes after %d", second.Ticket, first.Ticket)
	}
	b.Write()
	a.Continue()
	a.AwaitKind(0, harness.Lost)
	if e := a.Write(); !e.Stale {
		t.Error("the resource takes the token of a holder that was evicted")
	}
	if e := a.Unlock(); e.Cause != harness.CauseLost {
		t.Errorf("Unlock of the one that was stopped returned %q, want ErrLost", e.Error)
	}
	if _, ok := c.TryLock(); ok {
		t.Error("the late Unlock has released the lock of another")
	}
	b.MustUnlock()
	if v := h.Check(); v.LostHolds != 1 || v.Stale == 0 {
		t.Errorf("%d lost and %d stale writes, want 1 and at least 1", v.LostHolds, v.Stale)
	}
	h.CheckNothingIsLeft()
}

// A holder that was stopped past its lease is killed, and never gets to know that
// it has lost the lock.
func TestX07StoppedHolderIsKilled(t *testing.T) {
	t.Parallel()
	withTimeout := faulttest.File(t)
	withTimeout.Stale = 5 * time.Second
	for name, spec := range map[string]harness.Spec{
		"file with a stale timeout": withTimeout,
		"redis":                     faulttest.Redis(t, 5*time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			h := harness.New(t, spec)
			a, b := h.Start(), h.Start()
			first := a.Lock().Granted()
			call := b.StandInLine()
			a.Stop()
			second := call.Granted()
			a.Kill()
			if second.Ticket <= first.Ticket {
				t.Errorf("token %d comes after %d", second.Ticket, first.Ticket)
			}
			b.MustUnlock()
			h.Check()
			h.CheckNothingIsLeft()
		})
	}
}

// The waiter that has its turn is stopped. On a file queue the line waits for it.
func TestX08StoppedWaiterOnFile(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, b, c := h.Start(), h.Start(), h.Start()
	a.Lock().Granted()
	second, third := b.StandInLine(), c.StandInLine()
	b.Stop()
	a.MustUnlock()
	third.StaysBlocked(3 * faulttest.Moment)
	b.Continue()
	second.Granted()
	third.StaysBlocked(faulttest.Moment)
	b.MustUnlock()
	third.Granted()
	c.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// On Redis, and on a file queue with a stale timeout, it is evicted, and takes a
// new ticket at the end of the line when it wakes up.
func TestX08StoppedWaiterIsEvicted(t *testing.T) {
	t.Parallel()
	withTimeout := func(t *testing.T, lease time.Duration) harness.Spec {
		spec := faulttest.File(t)
		spec.Stale = lease
		return spec
	}
	for name, spec := range map[string]func(*testing.T, time.Duration) harness.Spec{"redis": faulttest.Redis, "file with a stale timeout": withTimeout} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faulttest.WithLease(t, time.Second, func(lease time.Duration) bool { return x08WaiterIsEvicted(t, spec(t, lease)) })
		})
	}
}

// x08WaiterIsEvicted reports whether those that were not stopped have kept their leases.
func x08WaiterIsEvicted(t *testing.T, spec harness.Spec) (kept bool) {
	t.Helper()
	h := harness.New(t, spec)
	unlock := func(w *harness.Process) bool {
		return faulttest.Unlocked(t, w) && faulttest.Kept(h, 4) // b takes two tickets
	}
	a, b, c := h.Start(), h.Start(), h.Start()
	a.Lock().Granted()
	second := b.Lock()
	old := second.Registered()
	third := c.StandInLine()
	b.Stop()
	if !unlock(a) {
		return false
	}
	third.Granted()
	b.Continue()
	// It must not take the lock with the ticket it had.
	again := b.Await(0, "another ticket", func(e harness.Event) bool {
		return e.Kind == harness.Registered && e.Ticket != old.Ticket
	})
	if !second.IsBlockedFor(faulttest.Moment) || !unlock(c) {
		return false
	}
	e := second.Granted()
	if !unlock(b) {
		return false
	}
	if e.Ticket != again.Ticket {
		t.Errorf("it was granted ticket %d, want %d, the one it took after %d was evicted", e.Ticket, again.Ticket, old.Ticket)
	}
	h.Check()
	h.CheckNothingIsLeft()
	return true
}

// A waiter that lives keeps its place however long it waits.
func TestX09PatientWaiter(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 500*time.Millisecond, func(lease time.Duration) bool {
		h := harness.New(t, faulttest.Redis(t, lease))
		a, b := h.Start(), h.Start()
		a.Lock().Granted()
		call := b.Lock()
		ticket := call.Registered().Ticket
		if !faulttest.KeptFor(h, 2, 20*lease) || !call.IsBlockedFor(faulttest.Moment) {
			return false
		}
		if !faulttest.Unlocked(t, a) {
			return false
		}
		granted := call.Granted()
		if !faulttest.Unlocked(t, b) || !faulttest.Kept(h, 2) {
			return false
		}
		if granted.Ticket != ticket {
			t.Errorf("granted with ticket %d, want %d", granted.Ticket, ticket)
		}
		if v := h.Check(); v.Evicted != 0 || v.LostHolds != 0 {
			t.Errorf("%v; want nobody evicted", v)
		}
		h.CheckNothingIsLeft()
		return true
	})
}
