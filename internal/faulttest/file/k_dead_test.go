//go:build linux

package file

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
)

// K35. seq becomes unusable for good while B waits, and the holder dies:
//
//  1. A locks, B waits.
//  2. seq is replaced by something that no process can lock.
//  3. A is killed.
//  4. B owns, or is told what is wrong with seq; it does not wait until its ctx ends.
//  5. C, which comes then, is told so too, or owns.
func TestK35SeqUnusable(t *testing.T) {
	instead := func(t *testing.T, seq string, put func() error) {
		t.Helper()
		if err := os.Remove(seq); err != nil {
			t.Fatal(err)
		}
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		spoil   func(t *testing.T, seq string, b, c *harness.Process)
		changes []harness.Change
		root    bool
	}{
		"a directory": {spoil: func(t *testing.T, seq string, _, _ *harness.Process) {
			instead(t, seq, func() error { return os.MkdirAll(filepath.Join(seq, "full"), 0o700) })
		}},
		"a link to nothing": {spoil: func(t *testing.T, seq string, _, _ *harness.Process) {
			instead(t, seq, func() error { return os.Symlink(seq+"-nothing", seq) })
		}},
		"a FIFO": {spoil: func(t *testing.T, seq string, _, _ *harness.Process) {
			instead(t, seq, func() error { return syscall.Mkfifo(seq, 0o600) })
		}},
		"no rights": {spoil: func(t *testing.T, seq string, _, _ *harness.Process) {
			instead(t, seq, func() error { return os.WriteFile(seq, nil, 0o600) }) // of root
		}, changes: []harness.Change{harness.As(1, 1)}, root: true},
		"no flock": {spoil: func(t *testing.T, seq string, b, c *harness.Process) {
			for _, w := range []*harness.Process{b, c} {
				inject(t, w, []string{seq}, "flock:error=ENOLCK")
			}
		}},
	} {
		for name, stale := range map[string]time.Duration{"": 0, ", with a stale timeout": faulttest.LongLease} {
			t.Run(what+name, func(t *testing.T) {
				spec := faulttest.File(t)
				if c.root {
					openToAll(t, spec)
				}
				spec.Stale = stale
				h := harness.New(t, spec)
				h.Tolerant = true
				holder, waiter, late := h.Start(c.changes...), h.Start(c.changes...), h.Start(c.changes...)
				holder.Lock().Granted()
				waiter.StandInLineFor(patience)
				c.spoil(t, filepath.Join(spec.Dir, "seq"), waiter, late)
				holder.Kill()
				ended := func(e harness.Event) bool { return e.Kind == harness.Granted || e.Kind == harness.Cancelled }
				checkTold(t, "the one who waits", waiter.Await(0, "an end", ended))
				if owns(waiter) {
					waiter.Unlock() // it may say what is wrong with seq
				}
				late.LockFor(patience)
				checkTold(t, "the one who comes", late.Await(0, "an end", ended))
				if owns(late) {
					late.Unlock()
				}
				h.Check()
			})
		}
	}
}

// checkTold checks that a call has ended with the lock, or with an error that names
// seq.
func checkTold(t *testing.T, who string, e harness.Event) {
	t.Helper()
	t.Logf("%s: %s %s", who, e.Kind, e.Error)
	if e.Kind == harness.Cancelled && (e.Cause != harness.OtherCause || !strings.Contains(e.Error, "seq")) {
		t.Errorf("%s is told %q, want what is wrong with seq", who, e.Error)
	}
}

// K40. A file server has a lease on seq, or on the ticket of a dead process, and is
// slow to give it up. Lock waits for it:
//
//  1. A locks, and is killed; its ticket and seq stay.
//  2. S takes a lease on one of them.
//  3. B calls Lock. S is told that the file is wanted, and B waits.
//  4. S gives up the lease, and B owns.
func TestK40Lease(t *testing.T) {
	for _, what := range []string{"seq", "ticket", "ticket, and seq is removed"} {
		t.Run(what, func(t *testing.T) {
			h := harness.New(t, faulttest.File(t))
			a, b, server := h.Start(), h.Start(), h.Start()
			a.Lock().Granted()
			path, seq := mustTicket(t, h.Spec.Dir), filepath.Join(h.Spec.Dir, "seq")
			if what == "seq" {
				path = seq
			}
			a.Kill()
			if strings.Contains(what, "removed") {
				h.Spoiled = true // of which kind the line is says only the ticket
				if err := os.Remove(seq); err != nil {
					t.Fatal(err)
				}
			}
			if e := server.Do("lease", path); e.Error != "" {
				t.Skipf("needs leases on files: set TMPDIR to a file system that has them: %s", e.Error)
			}
			mark := server.Mark()
			if what != "seq" {
				if _, ok := b.TryLock(); ok { // it does not wait for the end of the lease
					t.Error("TryLock got the lock of an owner that could not be examined")
				}
			}
			call := b.LockFor(patience)
			server.AwaitKind(mark, harness.Said) // that it is wanted
			call.StaysBlocked(faulttest.Moment)
			mustDo(t, server, "end-lease")
			call.Granted()
			b.MustUnlock()
			h.Check()
			if !h.Spoiled { // a seq that is made anew does not say that the queue has made the directory
				h.CheckNothingIsLeft()
			}
		})
	}
}

// K51. A process stands still with the lock on seq. Nothing else does, in front of
// it or without it:
//
//  1. A locks, B waits, C waits behind B.
//  2. D calls Lock, and stands when it has the lock on seq.
//  3. A is killed: B owns. B unlocks: C owns. C is killed.
//  4. D goes on, and owns.
func TestK51StoppedWithSeq(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, b, c := h.Start(), h.Start(), h.Start()
	a.Lock().Granted()
	second, third := b.StandInLineFor(patience), c.StandInLineFor(patience)
	d := stepToSeq(t, h.Start(), h.Spec.Dir)
	a.Kill()
	gap := faulttest.Since(a.KilledAt(), second.Granted())
	began := time.Now()
	b.MustUnlock()
	t.Logf("owns %v after the kill, and unlocks in %v", gap, time.Since(began))
	third.Granted()
	c.Kill()
	d.resume()
	d.steps(func() bool { return owns(d.Process) })
	d.Tell("unlock")
	d.steps(func() bool { return d.Count(harness.Released) > 0 })
	h.Check()
	d.Kill()
	h.CheckNothingIsLeft()
}

// K51. The same, when the process that stands still is about to clean up, or to judge.
// Then the holder of the flock of the dead keeps no waiter from its turn.
//
//  1. A locks, B waits, C waits behind B.
//  2. B is stopped whenever it takes a flock; C too, and C stands.
//  3. A is killed. B stands when it has taken the flock on A's ticket, and is killed.
//  4. C goes on, and owns.
func TestK51StoppedWhileJudging(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, judge, last := h.Start(), h.Start(), h.Start()
	a.Lock().Granted()
	dead := mustTicket(t, h.Spec.Dir)
	judge.StandInLineFor(time.Minute)
	last.StandInLineFor(patience)
	b, c := step(t, judge, "flock"), step(t, last, "flock")
	c.awaitStop(func() bool { return false })
	a.Kill()
	b.standsWith(dead)
	judge.Kill()
	c.steps(func() bool { return owns(last) })
	c.Tell("unlock")
	c.steps(func() bool { return c.Count(harness.Released) > 0 })
	h.Check()
	last.Kill()
	h.CheckNothingIsLeft()
}

// K51. The same, when the process that stands still is behind the waiter that has its
// turn, and has just found that the holder is dead:
//
//  1. A locks, B waits, J waits behind B.
//  2. B is stopped, and J whenever it takes a flock. A is killed.
//  3. J goes on, and stands when it has taken the flock on A's ticket.
//  4. B goes on: it owns, though J stands.
func TestK51StoppedWithTheDead(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, b, judge := h.Start(), h.Start(), h.Start()
	a.Lock().Granted()
	dead := mustTicket(t, h.Spec.Dir)
	second := b.StandInLineFor(patience)
	judge.StandInLineFor(time.Minute)
	b.Stop()
	j := step(t, judge, "flock") // before A dies: it looks all the time
	a.Kill()
	j.standsWith(dead)
	b.Continue()
	second.Granted()
	b.MustUnlock()
	judge.Kill()
	h.Check()
	h.CheckNothingIsLeft()
}

// K53. The system says once that it cannot examine the ticket's file. That is no
// reason for its owner to give it up:
//
//  1. A takes a ticket. From now on every fstat of it fails.
//  2. A looks whether it is still in line: it is not told that it is not.
//  3. B's TryLock finds the lock taken.
//  4. Nothing fails any more: A's ticket is in line, and A removes it.
func TestK53TicketCannotBeExamined(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, b := h.Start(), h.Start()
	mustDo(t, a, "register")
	ticket := mustTicket(t, h.Spec.Dir)
	end := inject(t, a, []string{ticket}, "fstat:error=EIO")
	if e := a.Do("refresh", 0); e.Cause == harness.NotQueued {
		t.Errorf("Refresh returned %q when the file could not be examined", e.Error)
	}
	end()
	if _, err := os.Lstat(ticket); err != nil {
		t.Errorf("the ticket of a living owner: %v", err)
	}
	if _, ok := b.TryLock(); ok {
		t.Error("TryLock got the lock of a living owner")
	}
	if e := a.Do("refresh", 0); e.Error != "" {
		t.Errorf("Refresh returned %q afterwards", e.Error)
	}
	if e := a.Do("remove", 0); e.Error != "" {
		t.Errorf("Release returned %q afterwards", e.Error)
	}
	h.Check()
	h.CheckNothingIsLeft()
}

// K53. Nothing can be examined or removed any more when the owner gives its ticket
// up. It drops the flock all the same:
//
//  1. A takes a ticket, B waits.
//  2. Every fstat and every unlink of A fails.
//  3. A gives its ticket up, and is told that it could not be removed.
//  4. B owns, though A lives.
func TestK53FlockIsAlwaysDropped(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, b := h.Start(), h.Start()
	mustDo(t, a, "register")
	call := b.StandInLineFor(patience)
	end := inject(t, a, nil, "fstat:error=EIO", "unlinkat:error=EIO")
	if e := a.Do("remove", 0); e.Cause != harness.OtherCause {
		t.Errorf("Release returned %q, want that the file could not be removed", e.Error)
	}
	call.Granted()
	end()
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// K53. The one that comes cannot examine the ticket of the holder. It does not own for
// that:
//
//  1. A locks.
//  2. Every look of B at A's ticket by its name fails. B calls Lock, which says so.
//  3. A unlocks, nothing fails any more, and B owns.
func TestK53TicketCannotBeListed(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	h.Tolerant = true
	a, b := h.Start(), h.Start()
	a.Lock().Granted()
	end := inject(t, b, []string{filepath.Base(mustTicket(t, h.Spec.Dir))}, "newfstatat:error=EIO")
	if e := b.LockFor(patience).Cancelled(); e.Cause != harness.OtherCause || !strings.Contains(e.Error, "input/output error") {
		t.Errorf("Lock ended with %q, want that the ticket could not be examined", e.Error)
	}
	end()
	a.MustUnlock()
	b.LockFor(patience).Granted()
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// K59. The holder of a ticket with a stale timeout can open no files any more. What
// it has open is enough to show that it lives:
//
//  1. A locks, B waits.
//  2. A may open no more files.
//  3. A holds for three timeouts, and unlocks.
//  4. B owns.
func TestK59NoDescriptorsWhileHeld(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 2*time.Second, func(stale time.Duration) bool {
		spec := faulttest.File(t)
		spec.Stale = stale
		h := harness.New(t, spec)
		a, b := h.Start(), h.Start()
		a.Lock().Granted()
		call := b.StandInLine()
		mustDo(t, a, "limit", 0)
		if !faulttest.KeptFor(h, 2, 3*stale) || !call.IsBlockedFor(faulttest.Moment) || !faulttest.Unlocked(t, a) {
			return false
		}
		call.Granted()
		if !faulttest.Unlocked(t, b) || !faulttest.Kept(h, 2) {
			return false
		}
		if v := h.Check(); v.LostHolds > 0 || v.Evicted > 0 {
			t.Errorf("%v; want that nobody loses anything", v)
		}
		h.CheckNothingIsLeft()
		return true
	})
}

// K59. A waiter can open no files any more, and the holder dies. The waiter owns.
func TestK59NoDescriptorsWhileWaiting(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, b, c := h.Start(), h.Start(), h.Start()
	a.Lock().Granted()
	second, third := b.StandInLineFor(patience), c.StandInLineFor(patience)
	mustDo(t, b, "limit", 0)
	mustDo(t, c, "limit", 0)
	a.Kill()
	second.Granted()
	b.MustUnlock()
	third.Granted()
	c.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}
