//go:build linux

package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// wayToTheLock are the system calls between which something may happen to the
// queue of a process that takes a ticket.
const wayToTheLock = "mkdirat,openat,flock,newfstatat,pread64,pwrite64,getdents64,linkat,renameat2"

// vandal does something to seq, and returns what is to be done when another
// process has locked since.
type vandal func(t *testing.T, seq string) (after func())

func nothing() {}

func removes(_ *testing.T, seq string) func() {
	_ = os.Remove(seq) // there may be none yet
	return nothing
}

func empties(_ *testing.T, seq string) func() {
	_ = os.Truncate(seq, 0)
	return nothing
}

// replaces puts a copy in the place of seq, as rsync does.
func replaces(t *testing.T, seq string) func() {
	t.Helper()
	content, err := os.ReadFile(seq)
	if err != nil {
		return nothing // there is none yet
	}
	copied := filepath.Join(t.TempDir(), "copy")
	err = os.WriteFile(copied, content, 0o600)
	if err == nil {
		err = os.Rename(copied, seq)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) { // the directory may be gone by now
		t.Fatal(err)
	}
	return nothing
}

// movesAwayAndBack has seq away, and the same file there again when another
// process has made one and locked.
func movesAwayAndBack(t *testing.T, seq string) func() {
	t.Helper()
	away := filepath.Join(t.TempDir(), "away")
	if err := os.Rename(seq, away); err != nil {
		return nothing
	}
	return func() { _ = os.Rename(away, seq) }
}

// links gives seq a second name, as a backup by cp -al does.
func links(t *testing.T, seq string) func() {
	t.Helper()
	_ = os.Link(seq, filepath.Join(t.TempDir(), "second"))
	return nothing
}

var vandals = map[string]vandal{
	"removed":             removes,
	"emptied":             empties,
	"replaced by a copy":  replaces,
	"moved away and back": movesAwayAndBack,
	"linked":              links,
}

// K31. Wherever on its way to the lock a process stands, seq may go:
//
//  1. A calls Lock, and stands after its n-th system call. At some of them it holds
//     the lock on seq.
//  2. Something happens to seq: it is removed, emptied, replaced, moved, linked.
//  3. B calls Lock. It owns, perhaps with a seq of its own, or waits for A.
//  4. A goes on.
//
// One of them owns, and the other waits for it: if what A has locked is not what
// is at the path, its ticket does not count. Tokens ascend, and no call fails. Then
// the same for n+1.
func TestK31SeqVanishesAtEverySystemCall(t *testing.T) {
	for name, vandal := range vandals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			meetEverywhere(t, name, func(dir string) (before, after func()) {
				after = nothing
				return func() { after = vandal(t, filepath.Join(dir, "seq")) }, func() { after() }
			})
		})
	}
}

// K55. The same, when another process owns already: A has made the directory, and
// must not believe that the line in it is empty.
//
//  1. A calls Lock, and stands after its n-th system call.
//  2. B calls Lock. It owns, or waits for A.
//  3. Something happens to seq.
//  4. A goes on.
func TestK55SeqVanishesBehindTheHolder(t *testing.T) {
	for _, name := range []string{"removed", "emptied", "replaced by a copy"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			meetEverywhere(t, name, func(dir string) (before, after func()) {
				return nothing, func() { vandals[name](t, filepath.Join(dir, "seq")) }
			})
		})
	}
}

// meetEverywhere has A and B meet at each system call of A's way to the lock: in a
// directory that A has made, and, if seq is not only changed, in one that is there all
// the time.
func meetEverywhere(t *testing.T, what string, around func(dir string) (before, after func())) {
	t.Helper()
	for _, kept := range []bool{false, true} {
		if kept && (what == "emptied" || what == "linked") {
			continue
		}
		h := harness.New(t, faulttest.File(t))
		if kept {
			mustMkdir(t, h.Spec.Dir)
			mustChmod(t, h.Spec.Dir, 0o700)
			mustWrite(t, filepath.Join(h.Spec.Dir, "foreign"), "")
		}
		b := h.Start()
		a := step(t, h.Start(), wayToTheLock)
		n := 1
		for {
			before, after := around(h.Spec.Dir)
			if !meet(t, a, b, n, before, after) {
				break
			}
			n++
		}
		t.Logf("met at %d system calls", n-1)
		if n < 6 {
			t.Error("A has made no more than 5 system calls that matter")
		}
		h.Check()
		if kept {
			wantNoFiles(t, h, "foreign")
		} else {
			wantNoFiles(t, h)
		}
	}
}

// meet has A and B lock once each. When A stands after its n-th system call, before
// is called, then B is started, and after is called when B owns, if it does before
// A. It reports false if A has not made that many calls.
func meet(t *testing.T, a *stepper, b *harness.Process, n int, before, after func()) bool {
	t.Helper()
	overA, overB := untilOver(a.Process), untilOver(b)
	endsA := func() bool { return owns(a.Process) || overA() }

	a.Lock()
	for range n - 1 {
		if a.awaitStop(endsA) {
			a.resume()
		}
	}
	if !a.awaitStop(endsA) {
		if owns(a.Process) {
			a.Tell("unlock")
		}
		a.steps(overA)
		return false
	}
	before()
	const opportunity = 20 * time.Millisecond // for B, if A keeps it from nothing
	b.Lock()
	for called := time.Now(); !owns(b) && time.Since(called) < opportunity; {
		time.Sleep(time.Millisecond)
	}
	after()
	a.resume()
	if owns(b) { // until A owns too, or waits
		const looks = 5
		registered, stops := a.Count(harness.Registered), a.stops()
		a.steps(func() bool {
			if n := a.Count(harness.Registered); n > registered {
				registered, stops = n, a.stops()
			}
			return endsA() || a.Count(harness.Registered) > a.Count(harness.Releasing)+a.Count(harness.Cancelled) && a.stops() > stops+looks
		})
	}
	drain(a, b, overA, overB)
	return true
}

// drain unlocks whatever A and B own, until the calls of both are over.
func drain(a *stepper, b *harness.Process, overA, overB func() bool) {
	for !overA() || !overB() {
		for _, w := range []*harness.Process{a.Process, b} {
			if owns(w) {
				w.Tell("unlock")
				a.steps(func() bool { return !owns(w) })
			}
		}
		a.steps(func() bool { return owns(a.Process) || owns(b) || overA() && overB() })
	}
}

// owns reports whether a worker has been granted the lock and has not given it up.
func owns(w *harness.Process) bool { return w.Count(harness.Granted) > w.Count(harness.Releasing) }

// wayOut are the system calls between which something may happen to the queue of a
// process that gives its ticket up and cleans up.
const wayOut = "openat,flock,newfstatat,pread64,pwrite64,getdents64,unlinkat,unlink,rmdir,renameat,renameat2,linkat"

// lockStepping has a worker lock.
func lockStepping(a *stepper) {
	a.Lock()
	a.steps(func() bool { return owns(a.Process) })
}

// standAsItUnlocks has a worker that owns unlock, and stand after its n-th system call on
// the way out. It reports false if it has not made that many.
func standAsItUnlocks(a *stepper, n int, over func() bool) bool {
	a.t.Helper()
	a.Tell("unlock")
	for range n - 1 {
		if a.awaitStop(over) {
			a.resume()
		}
	}
	return a.awaitStop(over)
}

// K31. The same on the way out, where the last one removes what the queue has made:
//
//  1. A owns, calls Unlock, and stands after its n-th system call.
//  2. Something happens to seq.
//  3. B calls Lock, and owns.
//  4. A goes on, until Unlock has returned. Wherever it stands meanwhile, B's ticket is
//     at its path, or with the directory where A would remove it and moves it back from:
//     then there is no other at the path. If there was, the next process would have a queue
//     of its own there.
//  5. C's TryLock finds the lock taken. B unlocks, and is not told that it has lost it.
func TestK31SeqVanishesBeforeTheCleaningUp(t *testing.T) {
	for name, vandal := range vandals {
		t.Run(name, func(t *testing.T) {
			h := harness.New(t, faulttest.File(t))
			b, c := h.Start(), h.Start()
			a := step(t, h.Start(), wayOut)
			n, more := 1, true
			for ; more; n++ {
				overA, overB := untilOver(a.Process), untilOver(b)
				lockStepping(a)
				more = standAsItUnlocks(a, n, overA)
				if !more {
					break
				}
				after := vandal(t, filepath.Join(h.Spec.Dir, "seq"))
				call := b.Lock().Called().Call
				const opportunity = 20 * time.Millisecond // for B, if A keeps it from nothing
				for called := time.Now(); !owns(b) && time.Since(called) < opportunity; {
					time.Sleep(time.Millisecond)
				}
				after()
				ticket := ""
				if owns(b) {
					ticket = fmt.Sprintf("%020d.%d.*", b.Await(0, "its ticket", func(e harness.Event) bool {
						return e.Kind == harness.Granted && e.Call == call
					}).Ticket, b.PID)
				}
				for a.resume(); a.awaitStop(func() bool { return overA() && (owns(b) || overB()) }); a.resume() {
					if ticket != "" && !isAt(h.Spec.Dir, ticket) && (!isAt(hiddenPath(h.Spec.Dir), ticket) || isAt(h.Spec.Dir, "")) {
						t.Errorf("when A stood after its call %d, something happened to seq; now the ticket of B, which owns, is not at its path", n)
						ticket = ""
					}
				}
				if ticket != "" && !isAt(h.Spec.Dir, ticket) {
					t.Errorf("when A stood after its call %d, something happened to seq; at the end the ticket of B, which owns, is not at its path", n)
				}
				if _, ok := c.TryLock(); ok && owns(b) {
					t.Errorf("at call %d: two own", n)
					c.Unlock()
				}
				if owns(b) {
					b.Tell("unlock")
				}
				a.steps(overB)
			}
			t.Logf("met at %d system calls", n-1)
			if n < 4 {
				t.Error("A has made no more than 3 system calls that matter")
			}
			h.Check()
			wantNoFiles(t, h)
		})
	}
}

// standsBeforeItLists has a worker call Lock, and stand when it has written its number to
// seq, with the lock on that. It lists the directory next. Then seq is removed. It stands
// after each of the calls from then on, which have pwrite64 among them. args are further
// ones for strace.
func standsBeforeItLists(t *testing.T, h *harness.Harness, calls string, args ...string) *stepper {
	t.Helper()
	seq := filepath.Join(h.Spec.Dir, "seq")
	planted := fmt.Sprintf("%020d\n", 1)
	mustMkdir(t, h.Spec.Dir)
	mustChmod(t, h.Spec.Dir, 0o700)
	mustWrite(t, seq, planted)
	a := step(t, h.Start(), calls, args...)
	a.Lock()
	for a.awaitStop(func() bool { return owns(a.Process) }) {
		if mustRead(t, seq) != planted {
			removes(t, seq)
			return a
		}
		a.resume()
	}
	t.Fatal("A owns, and has not stood when it had written its number")
	return nil
}

// isSettled reports whether the worker owns, or has a ticket and has looked for a while
// whether that does. It is asked when the worker stands.
func (s *stepper) isSettled() bool {
	const looks = 5
	if s.Count(harness.Registered) == 0 {
		s.since = s.stops()
		return false
	}
	return owns(s.Process) || s.stops() > s.since+looks
}

// K31. A ticket that is just being created is not locked yet. A process that has locked a
// seq that was removed takes it for dead:
//
//  1. A calls Lock, and stands with the lock on seq. seq is removed.
//  2. B calls Lock, makes a seq of its own, and stands when it has created its ticket.
//  3. A goes on, finds B's ticket not locked, and cannot remove it: unlink fails.
//  4. B goes on, locks its ticket, and owns.
//  5. A goes on, with a new number from B's seq: it waits for B.
func TestK31TicketInCreationThatCannotBeRemoved(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	h.Spoiled = true
	worker := h.Start()
	a := standsBeforeItLists(t, h, "pwrite64,flock", "-e", "trace=pwrite64,flock,unlinkat", "-e", "inject=unlinkat:error=EIO:signal=STOP:when=1+1")
	b := step(t, worker, "openat")
	b.Lock()
	for b.awaitStop(func() bool { return owns(worker) }) && len(tickets(t, h.Spec.Dir)) == 0 {
		b.resume()
	}
	ticket := mustTicket(t, h.Spec.Dir)
	if isLocked(t, ticket) {
		t.Fatal("B's ticket is locked: B does not stand where it should")
	}
	a.resume()
	for a.awaitStop(func() bool { return owns(a.Process) }) && (injections(t, a.log.Name()) == 0 || isLocked(t, ticket)) {
		a.resume() // until it has tried to remove the ticket, and has closed it
	}
	b.steps(func() bool { return owns(worker) })
	a.steps(a.isSettled)
	if owns(a.Process) {
		t.Error("two own: A has found B's ticket when it was not locked yet")
	}
	a.Kill()
	b.Tell("unlock")
	b.steps(untilOver(worker))
	h.Check()
	wantNoFiles(t, h)
}

// K31. With a umask that takes rights from the ticket's file, its owner creates and locks
// it, and then another one in its place, which has them. The first one is never to be found
// without its lock:
//
//  1. A calls Lock, and stands with the lock on seq. seq is removed.
//  2. B, with such a umask, calls Lock, and makes a seq of its own. If it stands when its
//     ticket was locked, and is not any more, A goes on until it has that locked, and has
//     seen that it is at its path.
//  3. B goes on, and owns.
//  4. A goes on. It waits for B, whose ticket is in its place.
func TestK31TicketThatIsMadeTwice(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	h.Spoiled = true
	worker := h.Start()
	mustDo(t, worker, "umask", "0277")
	a := standsBeforeItLists(t, h, "pwrite64,flock,newfstatat")
	b := step(t, worker, "openat,flock,unlinkat,renameat")
	b.Lock()
	locked := false
	for b.awaitStop(func() bool { return owns(worker) }) {
		if all := tickets(t, h.Spec.Dir); len(all) > 0 {
			if isLocked(t, all[0]) {
				locked = true
			} else if locked {
				t.Log("B's ticket is at its path, and is not locked any more")
				a.resume()
				a.standsWith(all[0])
				a.resume()
				a.awaitStop(func() bool { return owns(a.Process) })
				break
			}
		}
		b.resume()
	}
	if !locked {
		t.Error("B has not stood when its ticket was locked")
	}
	b.steps(func() bool { return owns(worker) })
	ticket := mustTicket(t, h.Spec.Dir)
	a.steps(a.isSettled)
	if owns(a.Process) {
		t.Error("two own")
	}
	if _, err := os.Lstat(ticket); err != nil {
		t.Errorf("the ticket of B, which owns: %v", err)
	}
	a.Kill()
	b.Tell("unlock")
	b.steps(untilOver(worker))
	h.Check()
	wantNoFiles(t, h)
}

// isAt reports whether the directory has a file of that pattern, or is there if it is empty.
func isAt(dir, pattern string) bool {
	found, _ := filepath.Glob(filepath.Join(dir, pattern))
	return len(found) == 1
}

// lockInTheMeantime has a worker lock, unless it is kept from that.
func lockInTheMeantime(b *harness.Process) {
	b.Lock()
	const opportunity = 200 * time.Millisecond // if it is kept from nothing: less is too little beside others
	for called := time.Now(); !owns(b) && time.Since(called) < opportunity; {
		time.Sleep(time.Millisecond)
	}
}

// K58. One comes as the last one removes what the queue has made, wherever that stands,
// and stays, or leaves again before that goes on: nothing is left, when both have gone.
func TestK58ComesAsTheOtherCleansUp(t *testing.T) {
	for name, leaves := range map[string]bool{"stays": false, "leaves": true} {
		t.Run(name, func(t *testing.T) {
			h := harness.New(t, faulttest.File(t))
			b := h.Start()
			a := step(t, h.Start(), wayOut)
			n := 1
			for ; ; n++ {
				overA, overB := untilOver(a.Process), untilOver(b)
				lockStepping(a)
				if !standAsItUnlocks(a, n, overA) {
					break
				}
				lockInTheMeantime(b)
				if leaves && owns(b) {
					b.Tell("unlock")
					for !overB() {
						time.Sleep(time.Millisecond)
					}
				}
				a.resume()
				a.steps(func() bool { return overA() && (owns(b) || overB()) })
				drain(a, b, overA, overB)
				if _, err := os.Lstat(h.Spec.Dir); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("B came when A stood after its call %d: the directory is left (%v)", n, err)
				}
			}
			t.Logf("met at %d system calls", n-1)
			if n < 6 {
				t.Error("A has made no more than 5 system calls that matter")
			}
			h.Check()
		})
	}
}

// K58. The same while a third process is at the hidden path, so that the directory is
// removed where it is.
func TestK58ComesAsTheOtherCleansUpInPlace(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	b := h.Start()
	a := step(t, h.Start(), wayOut)
	hidden := hiddenPath(h.Spec.Dir)
	n := 1
	for ; ; n++ {
		overA, overB := untilOver(a.Process), untilOver(b)
		lockStepping(a)
		leave := occupy(t, hidden)
		if !standAsItUnlocks(a, n, overA) {
			leave()
			break
		}
		lockInTheMeantime(b)
		a.resume()
		a.steps(overA)
		leave()
		a.steps(func() bool { return owns(b) })
		drain(a, b, overA, overB)
		if _, err := os.Lstat(h.Spec.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("B came when A stood after its call %d: the directory is left (%v)", n, err)
			_ = os.RemoveAll(h.Spec.Dir)
		}
	}
	t.Logf("met at %d system calls", n-1)
	if n < 6 {
		t.Error("A has made no more than 5 system calls that matter")
	}
	h.Check()
}

// occupy has something at the path that a process which makes it has, until leave is called.
func occupy(t *testing.T, path string) (leave func()) {
	t.Helper()
	mustMkdir(t, path)
	f, err := os.Open(path)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.Remove(path), f.Close()); err != nil {
			t.Error(err)
		}
	}
}

// K32. seq is removed and replaced under four processes. Nothing of that is an
// error: what is not there any more is looked for again.
func TestK32SeqVanishesAndNoCallFails(t *testing.T) {
	const workers = 4
	sections := testenv.Fewer(250)
	h := harness.New(t, faulttest.File(t))
	h.Section = 200 * time.Microsecond
	h.Spoiled = true // a seq may be put there when the last has left
	seq := filepath.Join(h.Spec.Dir, "seq")
	all := h.StartAll(workers)
	for _, w := range all {
		w.Run(1, sections)
	}
	times := 0
	for tick := time.Tick(time.Millisecond); h.Count(harness.Done) < workers; <-tick {
		times++
		if times%2 == 0 {
			removes(t, seq)
		} else {
			replaces(t, seq)
		}
	}
	for _, w := range all {
		w.Finished()
	}
	t.Logf("removed or replaced %d times", times)
	if v := h.Check(); v.LostHolds != 0 {
		t.Errorf("%v; want that nobody loses the lock", v)
	}
	wantNoFiles(t, h)
}

// wantNoFiles waits until nothing is in the queue's directory but the files with the
// names. It may stay itself: when seq has vanished it is not known whether the queue
// has made it.
func wantNoFiles(t *testing.T, h *harness.Harness, others ...string) {
	t.Helper()
	q, closeQueue := h.Spec.Open()
	defer closeQueue()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		entries, err := os.ReadDir(h.Spec.Dir)
		left := slices.DeleteFunc(entries, func(e os.DirEntry) bool { return slices.Contains(others, e.Name()) })
		if errors.Is(err, os.ErrNotExist) || len(left) == 0 {
			return
		}
		if time.Since(began) > patience {
			t.Errorf("there is left %q", left)
			return
		}
		if h.Spoiled {
			_ = q.CleanupStale(t.Context())
			q.MaybeCleanup(t.Context())
		}
	}
}

// untilOver is the condition that the worker's next call fails, or is followed by
// Unlock.
func untilOver(w *harness.Process) func() bool {
	over := func() int { return w.Count(harness.Released) + w.Count(harness.Cancelled) }
	began := over()
	return func() bool { return over() > began }
}

// K52. A copy of seq is written back within the same step of the file system's clock.
//
//  1. A holds, and has looked at seq last when it wrote its number.
//  2. Another process joins, which changes seq; the copy of before is written over
//     that at once.
//  3. A's process joins again: two are ahead of it.
func TestK52SeqRestoredWithinAStep(t *testing.T) {
	needFineTimes(t)
	const rounds = 1000
	h := harness.New(t, faulttest.File(t))
	q := filequeue.New(h.Spec.Dir)
	other := h.Start()
	for range rounds {
		held := faulttest.MustRegister(t, q)
		restore := copyOf(t, filepath.Join(h.Spec.Dir, "seq"))
		between := other.StandInLine()
		restore()
		last := faulttest.MustRegister(t, q)
		if last.Ahead != 2 {
			t.Fatalf("%d are ahead of ticket %d, want 2: %d, and the other process's", last.Ahead, last.Number, held.Number)
		}
		faulttest.MustRelease(t, q, held)
		between.Granted()
		other.MustUnlock()
		faulttest.MustRelease(t, q, last)
	}
	h.Check()
}

// copyOf reads a file, and returns what writes that over it.
func copyOf(t *testing.T, path string) (restore func()) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// needFineTimes skips the test before Linux 6.13. The times of change are those of the
// last tick there, and nothing is promised for what is restored within one.
func needFineTimes(t *testing.T) {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		t.Fatalf("Linux %q: %v", release, err)
	}
	if major < 6 || major == 6 && minor < 13 {
		t.Skipf("needs Linux 6.13: run there, this is %s", release)
	}
}
