//go:build linux

package file

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// mustDo has a worker do something of this package's own, which must not fail.
func mustDo(t *testing.T, w *harness.Process, words ...any) harness.Event {
	t.Helper()
	e := w.Do(words...)
	if e.Error != "" {
		t.Fatalf("worker %d: %v: %s", w.Number, words, e.Error)
	}
	return e
}

// K33. A process takes tickets as one user, and gives them up as another:
//
//  1. A locks, B and C wait, all as the first user.
//  2. A and B become the second user.
//  3. B's call is cancelled. It returns, and B is out of the line. If B had looked in
//     between, and may not look any more, the call has ended already, and says so.
//  4. A unlocks. Unlock returns nil, or that the second user may not remove the
//     file; A lets go of it all the same.
//  5. C owns, though A and B live.
//  6. A becomes the first user again, and locks and unlocks.
func TestK33AnotherUserLetsGo(t *testing.T) {
	const root, one, two = 0, 1, 2
	for name, c := range map[string]struct {
		first, second int
		removes       bool // the second user may remove what the first has made
	}{
		"rights given up":   {root, one, false},
		"rights come back":  {one, root, true},
		"two without right": {one, two, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := harness.New(t, openToAll(t, faulttest.File(t)))
			h.Tolerant = true
			a, b, last := h.Start(), h.Start(), h.Start()
			for _, w := range []*harness.Process{a, b, last} {
				mustDo(t, w, "user", c.first)
			}
			a.Lock().Granted()
			waiting := b.StandInLine()
			next := last.StandInLineFor(patience)

			mustDo(t, a, "user", c.second)
			mustDo(t, b, "user", c.second)
			waiting.Cancel()
			if e := waiting.Cancelled(); e.Cause != harness.Canceled && (c.removes || !strings.Contains(e.Error, "permission denied")) {
				t.Errorf("Lock returned %q, want that of a ctx that was cancelled", e.Error)
			}
			switch e := a.Unlock(); {
			case e.Cause == harness.None:
			case e.Cause != harness.OtherCause || c.removes:
				t.Errorf("Unlock returned %q", e.Error)
			}
			next.Granted()
			last.MustUnlock()

			mustDo(t, a, "user", c.first)
			a.LockFor(patience).Granted()
			a.MustUnlock()
			wantAbsent(t, h.Spec.Dir)
			h.Check()
		})
	}
}

// K33. A waits for B, gives up its rights, and cannot open the file of B any more. It takes
// over all the same when B is killed: it has it open.
func TestK33WaiterTakesOver(t *testing.T) {
	const root, one = 0, 1
	spec := openToAll(t, faulttest.File(t))
	if err := os.Mkdir(spec.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := harness.New(t, spec)
	holder, w := h.Start(), h.Start()
	holder.Lock().Granted()
	waiting := w.StandInLineFor(patience)
	mustDo(t, w, "user", one)
	holder.Kill()
	waiting.Granted()
	mustDo(t, w, "user", root)
	w.MustUnlock()
	h.Check()
}

// K34. The file of a dead ticket can be opened for reading alone:
//
//  1. A locks, B waits.
//  2. A's ticket cannot be written any more, or not even be removed.
//  3. A is killed, or unlocks, which says that the file could not be removed.
//  4. B owns, and can unlock.
func TestK34DeadTicketThatCannotBeWritten(t *testing.T) {
	kill := func(_ *testing.T, a *harness.Process) { a.Kill() }
	t.Run("no right to write", func(t *testing.T) {
		k34(t, openToAll(t, faulttest.File(t)), func(t *testing.T, ticket string) {
			mustChmod(t, ticket, 0o400)
		}, kill, harness.As(1, 1))
	})
	makeImmutable := func(t *testing.T, ticket string) {
		setAttribute(t, ticket, immutable, true)
		t.Cleanup(func() { setAttribute(t, ticket, immutable, false) })
	}
	t.Run("immutable, killed", func(t *testing.T) {
		k34(t, harness.File(filepath.Join(mount(t, "ext4", ""), "queue")), makeImmutable, kill)
	})
	t.Run("immutable, unlocked", func(t *testing.T) {
		k34(t, harness.File(filepath.Join(mount(t, "ext4", ""), "queue")), makeImmutable, func(t *testing.T, a *harness.Process) {
			if e := a.Unlock(); e.Cause != harness.OtherCause {
				t.Errorf("Unlock returned %q, want that the file could not be removed", e.Error)
			}
		})
	})
}

func k34(t *testing.T, spec harness.Spec, protect func(*testing.T, string), end func(*testing.T, *harness.Process), changes ...harness.Change) {
	t.Helper()
	h := harness.New(t, spec)
	h.Tolerant = true // Unlock may say that the file could not be removed
	a, b := h.Start(changes...), h.Start(changes...)
	a.Lock().Granted()
	ticket := mustTicket(t, spec.Dir)
	call := b.StandInLineFor(patience)
	protect(t, ticket)
	end(t, a)
	call.Granted()
	b.MustUnlock()
	// The next call owns, too: the dead ticket is nothing new to its process.
	b.LockFor(patience).Granted()
	b.MustUnlock()
	h.Check()
}

// K34. A waits, B gives up behind it, whose file cannot be removed. B is not in line for
// its own process, whatever a listing finds.
func TestK34OwnTicketThatCannotBeRemoved(t *testing.T) {
	dir := filepath.Join(mount(t, "ext4", ""), "queue")
	q := filequeue.New(dir)
	holder, quits := faulttest.MustRegister(t, q), faulttest.MustRegister(t, q)
	path := filepath.Join(dir, quits.Member)
	setAttribute(t, path, immutable, true)
	t.Cleanup(func() { setAttribute(t, path, immutable, false) })
	if err := q.Release(t.Context(), quits); err == nil {
		t.Error("Release did not say that the file could not be removed")
	}
	if err := os.Remove(filepath.Join(dir, "seq")); err != nil { // so that the next lists
		t.Fatal(err)
	}
	last := faulttest.MustRegister(t, q)
	if last.Ahead != 1 {
		t.Errorf("%d are ahead of the last, want the holder alone", last.Ahead)
	}
	for _, ticket := range []queue.Ticket{last, holder} {
		if err := q.Release(t.Context(), ticket); err != nil {
			t.Error(err)
		}
	}
}

// K34. A holder is too old, and its file cannot be removed by the waiter, as another user's
// cannot in a directory that is sticky. The waiter waits: the holder lives.
func TestK34StaleTicketThatCannotBeRemoved(t *testing.T) {
	const stale = time.Minute
	dir := filepath.Join(mount(t, "ext4", ""), "queue")
	q := filequeue.New(dir)
	holder, err := filequeue.New(dir, filequeue.WithStaleTimeout(stale)).Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, holder.Member)
	old := time.Now().Add(-2 * stale)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	setAttribute(t, path, immutable, true)
	t.Cleanup(func() { setAttribute(t, path, immutable, false) })
	waiter, err := q.Register(t.Context())
	if err != nil || waiter.Ahead != 1 {
		t.Fatalf("Register returned %+v, %v, want a ticket with 1 ahead", waiter, err)
	}
	if place, err := q.Position(t.Context(), waiter); err != nil || place.Ahead != 1 {
		t.Errorf("Position returned %+v, %v, want 1 ahead", place, err)
	}
	if _, ok, err := q.TryRegister(t.Context()); ok || err != nil {
		t.Errorf("TryRegister returned %v, %v, want that it did not", ok, err)
	}
	setAttribute(t, path, immutable, false)
	if place, err := q.Position(t.Context(), waiter); err != nil || place.Ahead != 0 {
		t.Errorf("when the file can be removed Position returns %+v, %v, want none ahead", place, err)
	}
	if err := q.Release(t.Context(), waiter); err != nil {
		t.Error(err)
	}
}

// K38. A queue that users share is in a directory with missing parents. The parents get
// the rights of the queue's directory, whatever the umask:
//
//  1. One user locks and unlocks: the parents stay.
//  2. Another user locks.
func TestK38ParentsForAll(t *testing.T) {
	spec := openToAll(t, faulttest.File(t))
	base := filepath.Dir(spec.Dir)
	spec.Dir = filepath.Join(base, "missing", "too", "queue")
	spec.Mode = 0o666
	h := harness.New(t, spec)
	for uid := range uint32(3) {
		w := h.Start(harness.As(uid+1, uid+1))
		mustDo(t, w, "umask", "077")
		w.LockFor(patience).Granted()
		w.MustUnlock()
		for _, parent := range []string{filepath.Join(base, "missing"), filepath.Dir(spec.Dir)} {
			if mode := mustLstat(t, parent).Mode().Perm(); mode != 0o777 {
				t.Errorf("after the call of user %d, %s has the mode %#o, want 0777", uid+1, parent, mode)
			}
		}
	}
	h.Check()
	wantAbsent(t, spec.Dir)
}

// K39. "Whatever the umask" means every umask, also one that leaves the owner
// nothing.
func TestK39EveryUmask(t *testing.T) {
	for _, umask := range []string{"0000", "0027", "0077", "0177", "0277", "0377", "0477", "0777"} {
		t.Run(umask, func(t *testing.T) {
			spec := openToAll(t, faulttest.File(t))
			spec.Dir = filepath.Join(filepath.Dir(spec.Dir), "missing", "queue")
			spec.Mode = 0o660
			h := harness.New(t, spec)
			users := []*harness.Process{h.Start(harness.As(1, 7)), h.Start(harness.As(2, 7))}
			var calls []*harness.Call
			for _, w := range users {
				mustDo(t, w, "umask", umask)
				call := w.StandInLineFor(patience)
				calls = append(calls, call)
			}
			wantModes(t, spec.Dir, 0o770, 0o660)
			for i, w := range users {
				calls[i].Granted()
				w.MustUnlock()
			}
			h.Check()
			wantAbsent(t, spec.Dir)
		})
	}
}

// wantModes checks the permission bits of a queue's directory and of the files in it.
func wantModes(t *testing.T, dir string, directory, file os.FileMode) {
	t.Helper()
	if mode := mustLstat(t, dir).Mode().Perm(); mode != directory {
		t.Errorf("the directory has the mode %#o, want %#o", mode, directory)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if mode := mustLstat(t, filepath.Join(dir, e.Name())).Mode().Perm(); mode != file {
			t.Errorf("%s has the mode %#o, want %#o", e.Name(), mode, file)
		}
	}
}

// K41. The directory above has the setgid bit, and the process may not set it: the
// queue works all the same, since its group is the one that the bit would give.
func TestK41SetgidForbidden(t *testing.T) {
	spec := openToAll(t, faulttest.File(t))
	const group = 7
	base := filepath.Dir(spec.Dir)
	if err := os.Chown(base, 0, group); err != nil {
		t.Fatal(err)
	}
	mustChmod(t, base, 0o777|os.ModeSetgid)
	spec.Mode = 0o660
	h := harness.New(t, spec)
	a, b := h.Start(harness.As(1, group)), h.Start(harness.As(2, group))
	mustDo(t, a, "umask", "077")
	mustDo(t, a, "forbid-setgid")
	a.LockFor(patience).Granted()
	call := b.StandInLineFor(patience)
	a.MustUnlock()
	call.Granted()
	b.MustUnlock()
	h.Check()
	wantAbsent(t, spec.Dir)
}

// K56. A process of one user is slow, or dies, between making the directory or seq
// and giving it the mode that others need. Nothing is seen of what has no mode yet:
//
//  1. A, of one user, calls Lock, and stands after its n-th system call that makes
//     something, or changes a mode; or is killed there.
//  2. B, of another user, calls Lock. It owns, or waits for A; it does not fail.
//  3. A goes on, if it lives.
//  4. B owns, before A or after it.
//
// The directory above is missing too, or has the sticky bit, so that B cannot remove what
// A has left there.
func TestK56BeforeTheMode(t *testing.T) {
	for name, c := range map[string]struct {
		dies  bool
		above string // what is missing
		mode  os.FileMode
	}{
		"slow":                   {false, "", 0o777},
		"killed":                 {true, "", 0o777},
		"killed, sticky":         {true, "", 0o777 | os.ModeSticky},
		"killed, parent missing": {true, "missing", 0o777},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 1
			for k56(t, n, c.dies, c.above, c.mode) {
				n++
			}
			t.Logf("met at %d system calls", n-1)
			if n == 1 {
				t.Error("A was stopped nowhere")
			}
		})
	}
}

// k56 reports false if A has not made n system calls.
func k56(t *testing.T, n int, dies bool, above string, mode os.FileMode) bool {
	t.Helper()
	spec := openToAll(t, faulttest.File(t))
	mustChmod(t, filepath.Dir(spec.Dir), mode)
	spec.Dir = filepath.Join(filepath.Dir(spec.Dir), above, filepath.Base(spec.Dir))
	spec.Mode = 0o666
	h := harness.New(t, spec)
	worker := h.Start(harness.As(1, 1))
	mustDo(t, worker, "umask", "077")
	a := step(t, worker, "mkdirat,openat,fchmod,fchmodat,linkat,renameat,renameat2")
	b := h.Start(harness.As(2, 2))
	mine := a.LockFor(time.Minute)
	for range n - 1 {
		if a.awaitStop(func() bool { return owns(worker) }) {
			a.resume()
		}
	}
	if !a.awaitStop(func() bool { return owns(worker) }) {
		return false
	}
	call := b.LockFor(time.Minute)
	if dies {
		worker.Kill()
	} else {
		call.Called()
		staysWell(t, b, 3*faulttest.Moment)
		a.resume()
		a.steps(func() bool { return owns(worker) || owns(b) })
		if owns(worker) {
			mine.Granted()
			worker.Tell("unlock")
			a.steps(func() bool { return worker.Count(harness.Released) > 0 })
		}
	}
	call.Granted()
	b.MustUnlock()
	if !dies && worker.Count(harness.Released) == 0 {
		a.steps(func() bool { return owns(worker) })
		worker.Tell("unlock")
		a.steps(func() bool { return worker.Count(harness.Released) > 0 })
	}
	worker.Kill()
	h.Check()
	h.CheckNothingIsLeft()
	if left := names(t, filepath.Dir(spec.Dir)); len(left) > 0 && !dies {
		t.Errorf("beside the queue is left %q", left)
	}
	return true
}

// names are those of what is in a directory.
func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

// staysWell fails the test if the worker's call fails within d. It may be granted.
func staysWell(t *testing.T, w *harness.Process, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end) && !owns(w); time.Sleep(time.Millisecond) {
		if w.Count(harness.Cancelled) > 0 {
			t.Fatalf("worker %d: %s", w.Number, w.AwaitKind(0, harness.Cancelled).Error)
		}
	}
}

// K67. The first user has forgotten WithFileMode: the others are told of it.
func TestK67TheFirstHasForgottenTheMode(t *testing.T) {
	spec := twoUsers(t)
	mustMkdir(t, spec.Dir)
	first := filequeue.New(spec.Dir)
	ticket, err := first.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustChmod(t, spec.Dir, 0o777)
	h := harness.New(t, spec)
	call := h.Start(harness.As(2, 2)).LockFor(patience)
	if e := call.Cancelled(); !strings.Contains(e.Error, "share it with WithFileMode in all programs") {
		t.Errorf("Lock ended with %q, want that all must give the mode", e.Error)
	}
	if err := queue.Release(t.Context(), first, ticket); err != nil {
		t.Error(err)
	}
}
