//go:build linux

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// K36. A directory that is in use is copied with hard links, as backups do
// (cp -al, rsync --link-dest):
//
//  1. A locks, B waits.
//  2. Every file of the directory gets a second name elsewhere.
//  3. C calls Lock, and stands in line; D's TryLock finds the lock taken.
//  4. A is killed, or unlocks; B and C own in turn, and everything is removed.
//  5. A lock is to be had as before.
//
// What is in the copy stays as it was.
func TestK36HardLinkBackup(t *testing.T) {
	for _, killed := range []bool{false, true} {
		name := "unlocked"
		if killed {
			name = "killed"
		}
		t.Run(name, func(t *testing.T) {
			h := harness.New(t, faulttest.File(t))
			a, b, c, d := h.Start(), h.Start(), h.Start(), h.Start()
			a.Lock().Granted()
			second := b.StandInLineFor(patience)
			copied := filepath.Join(filepath.Dir(h.Spec.Dir), "copy")
			mustMkdir(t, copied)
			content := make(map[string]string)
			for _, name := range names(t, h.Spec.Dir) {
				path := filepath.Join(copied, name)
				if err := os.Link(filepath.Join(h.Spec.Dir, name), path); err != nil {
					t.Fatal(err)
				}
				content[path] = mustRead(t, path)
			}
			third := c.StandInLineFor(patience)
			if _, ok := d.TryLock(); ok {
				t.Error("TryLock got a lock that is held")
			}
			if killed {
				a.Kill()
			} else {
				a.MustUnlock()
			}
			second.Granted()
			third.StaysBlocked(faulttest.Moment)
			b.MustUnlock()
			third.Granted()
			c.MustUnlock()
			wantAbsent(t, h.Spec.Dir)
			d.LockFor(patience).Granted()
			d.MustUnlock()
			h.Check()
			for path, was := range content {
				if is := mustRead(t, path); is != was {
					t.Errorf("the copy %s says %q, was %q", path, is, was)
				}
			}
		})
	}
}

// K36. The directory was copied back with hard links, and no ticket is in line: seq has
// a second name from the first call on.
func TestK36HardLinkRestored(t *testing.T) {
	spec := faulttest.File(t)
	m, _ := faulttest.Mutex(t, spec)
	faulttest.MustLock(t, m)
	copied := filepath.Join(filepath.Dir(spec.Dir), "copy")
	seq := filepath.Join(spec.Dir, "seq")
	content := mustRead(t, seq)
	if err := os.Link(seq, copied); err != nil {
		t.Fatal(err)
	}
	before := m.Token()
	faulttest.MustUnlock(t, m)
	mustMkdir(t, spec.Dir)
	mustChmod(t, spec.Dir, 0o700)
	_ = os.Remove(seq)
	if err := os.Link(copied, seq); err != nil {
		t.Fatal(err)
	}
	other, _ := faulttest.Mutex(t, spec)
	faulttest.MustLock(t, other)
	if other.Token() <= before {
		t.Errorf("token %d comes after %d", other.Token(), before)
	}
	faulttest.MustUnlock(t, other)
	if is := mustRead(t, copied); is != content {
		t.Errorf("the copy of seq says %q, was %q", is, content)
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// K37. Another program tidies up, and removes the empty directory above:
//
//  1. A calls Lock on a queue in a directory that is not there, and stands after its
//     n-th call that makes a directory or looks at one.
//  2. The empty directories above the queue are removed.
//  3. A goes on, and locks.
func TestK37ParentsVanish(t *testing.T) {
	spec := faulttest.File(t)
	base := filepath.Dir(spec.Dir)
	spec.Dir = filepath.Join(base, "x", "y", "queue")
	h := harness.New(t, spec)
	a := step(t, h.Start(), "mkdirat,newfstatat,openat")
	met := 0
	for n, ended := 1, false; !ended; n++ {
		over := func() bool { return owns(a.Process) || a.Count(harness.Cancelled) > 0 }
		calls := a.Count(harness.Granted)
		call := a.Lock()
		for range n - 1 {
			if a.awaitStop(over) {
				a.resume()
			}
		}
		ended = !a.awaitStop(over)
		if !ended {
			met++
			for dir := spec.Dir; dir != base; dir = filepath.Dir(dir) {
				_ = os.Remove(dir)
			}
			a.resume()
		}
		a.steps(func() bool { return a.Count(harness.Granted) > calls || a.Count(harness.Cancelled) > 0 })
		call.Granted()
		a.Tell("unlock")
		a.steps(func() bool { return !owns(a.Process) && a.Count(harness.Released) > calls })
		if err := os.RemoveAll(filepath.Join(base, "x")); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("met at %d system calls", met)
	if met < 10 {
		t.Error("A has made fewer than 10 system calls that matter")
	}
	h.Check()
}

// K37. The queues of x and of x/y are in use at the same time, and x is removed
// whenever there is nothing in it.
func TestK37QueueBelowQueue(t *testing.T) {
	const sections = 200
	above := faulttest.File(t)
	below := harness.File(filepath.Join(above.Dir, "below"))
	upper, lower := harness.New(t, above), harness.New(t, below)
	workers := append(upper.StartAll(2), lower.StartAll(2)...)
	for _, w := range workers {
		w.Run(1, sections)
	}
	for _, w := range workers {
		w.Finished()
	}
	upper.Check()
	lower.Check()
	lower.CheckNothingIsLeft()
}

// K43. A directory that was there before stays, with its mode, whatever becomes of
// the queue in it; what the queue has made goes:
//
//  1. An administrator makes the directory.
//  2. A locks and unlocks; or is killed, and B comes after it; or seq vanishes in
//     between, and so does what it may say of the directory.
//  3. The directory is there, and there is nothing in it.
func TestK43DirectoryOfAnAdministrator(t *testing.T) {
	modes := map[string]struct {
		directory, file os.FileMode
	}{
		"private": {0o700, 0},
		"shared":  {0o770 | os.ModeSetgid, 0o660},
	}
	ways := map[string]func(t *testing.T, h *harness.Harness){
		"unlocked": func(t *testing.T, h *harness.Harness) {
			a := h.Start()
			for range 3 {
				a.Lock().Granted()
				a.MustUnlock()
				if left := names(t, h.Spec.Dir); len(left) > 0 {
					t.Errorf("there is %q in it", left)
				}
			}
		},
		"killed": func(_ *testing.T, h *harness.Harness) {
			a, b := h.Start(), h.Start()
			a.Lock().Granted()
			a.Kill()
			b.LockFor(patience).Granted()
			b.MustUnlock()
		},
		"waited": func(_ *testing.T, h *harness.Harness) {
			a, b := h.Start(), h.Start()
			a.Lock().Granted()
			call := b.StandInLineFor(patience)
			a.Kill()
			call.Granted()
			b.MustUnlock()
		},
		"seq removed": func(t *testing.T, h *harness.Harness) {
			a, b := h.Start(), h.Start()
			a.Lock().Granted()
			call := b.StandInLineFor(patience)
			removes(t, filepath.Join(h.Spec.Dir, "seq"))
			a.MustUnlock()
			call.Granted()
			b.MustUnlock()
			a.Lock().Granted()
			a.MustUnlock()
		},
		"all removed": func(t *testing.T, h *harness.Harness) {
			h.Losses, h.Tolerant = true, true
			a := h.Start()
			a.Lock().Granted()
			for _, name := range names(t, h.Spec.Dir) {
				removes(t, filepath.Join(h.Spec.Dir, name))
			}
			a.Unlock() // which says that the lock was lost
			a.LockFor(patience).Granted()
			a.MustUnlock()
		},
	}
	for mode, c := range modes {
		for way, use := range ways {
			t.Run(mode+", "+way, func(t *testing.T) {
				spec := faulttest.File(t)
				spec.Mode = c.file
				mustMkdir(t, spec.Dir)
				mustChmod(t, spec.Dir, c.directory)
				was := mustLstat(t, spec.Dir)
				h := harness.New(t, spec)
				use(t, h)
				wantDirectory(t, spec.Dir, was)
				if left := names(t, spec.Dir); len(left) > 0 {
					t.Errorf("there is %q in it", left)
				}
				h.Check()
			})
		}
	}
}

// K44. The working directory is a queue's, and stays.
func TestK44WorkingDirectory(t *testing.T) {
	dir := t.TempDir()
	mustChmod(t, dir, 0o700)
	t.Chdir(dir)
	was := mustLstat(t, dir)
	m := lock.New(filequeue.New("."))
	for range 2 {
		faulttest.MustLock(t, m)
		faulttest.MustUnlock(t, m)
		wantDirectory(t, dir, was)
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("there is %q in it", left)
	}
}

// K45. There is a file named seq, and it is not the queue's: it is longer than any
// seq. It stays as it is, and Lock says so.
func TestK45TextNamedSeq(t *testing.T) {
	t.Run("a user's file", func(t *testing.T) {
		spec := faulttest.File(t)
		mustMkdir(t, spec.Dir)
		mustChmod(t, spec.Dir, 0o700)
		seq := filepath.Join(spec.Dir, "seq")
		text := strings.Repeat("ACGTTGCA\n", 500)
		mustWrite(t, seq, text)
		was := mustLstat(t, seq)
		m, _ := faulttest.Mutex(t, spec)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := m.Lock(ctx); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "seq") {
			t.Errorf("Lock returned %v, want at once that seq is not this queue's", err)
		}
		ok, err := m.TryLock(ctx)
		if ok || err == nil || !strings.Contains(err.Error(), "seq") {
			t.Errorf("TryLock returned %v, %v, want that seq is not this queue's", ok, err)
		}
		is := mustLstat(t, seq)
		if mustRead(t, seq) != text || !is.ModTime().Equal(was.ModTime()) || !os.SameFile(is, was) {
			t.Errorf("seq has %d bytes, of %v, had %d, of %v", is.Size(), is.ModTime(), was.Size(), was.ModTime())
		}
		if left := names(t, spec.Dir); !slices.Equal(left, []string{"seq"}) {
			t.Errorf("there is %q, want nothing but seq", left)
		}
	})
	t.Run("a user's file where there never was a queue", func(t *testing.T) {
		const text = "1\n2\n3\n"
		for _, mode := range []fs.FileMode{0o700, 0o777} { // the second is refused
			spec := faulttest.File(t)
			mustMkdir(t, spec.Dir)
			mustChmod(t, spec.Dir, mode)
			mustWrite(t, filepath.Join(spec.Dir, "seq"), text)
			q := filequeue.New(spec.Dir)
			if mode == 0o777 {
				if _, err := q.Register(t.Context()); err == nil {
					t.Errorf("%v: Register returned no error", mode)
				}
			}
			q.MaybeCleanup(t.Context())
			if got := mustRead(t, filepath.Join(spec.Dir, "seq")); got != text {
				t.Errorf("%v: seq has %q, had %q", mode, got, text)
			}
		}
	})
}

// K45. The ticket that tells the kind of the line cannot be read, and seq does not tell it
// either, or may not be believed:
//
//  1. A, a Mutex, owns. seq is removed, or an older one of a Semaphore is put in its place.
//  2. B, a Semaphore in which two own, cannot read A's ticket, or may not open it. It is
//     refused, and what it has written to seq does not let it in the second time.
//  3. It can be read: B is refused because of the kind.
func TestK45KindThatCannotBeTold(t *testing.T) {
	removed := func(t *testing.T, seq string) { removes(t, seq) }
	unread := func(t *testing.T, b *harness.Process, ticket string) func() {
		return inject(t, b, []string{ticket}, "pread64:error=EIO")
	}
	for name, c := range map[string]struct {
		spoil    func(t *testing.T, seq string)
		withhold func(t *testing.T, b *harness.Process, ticket string) (end func())
	}{
		"seq is removed, the ticket is not read": {removed, unread},
		"seq is another one, the ticket is not read": {func(t *testing.T, seq string) {
			mustWrite(t, seq, fmt.Sprintf("%020d\nmade shared   \n", 1))
		}, unread},
		"seq is removed, the ticket is not opened": {removed, func(t *testing.T, _ *harness.Process, ticket string) func() {
			mustChmod(t, ticket, 0o600) // of root
			return func() { mustChmod(t, ticket, 0o666) }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := harness.New(t, twoUsers(t))
			h.Spoiled = true
			a, b := h.Start(), h.Start(harness.As(1, 1))
			a.Lock().Granted()
			ticket := mustTicket(t, h.Spec.Dir)
			c.spoil(t, filepath.Join(h.Spec.Dir, "seq"))
			end := c.withhold(t, b, ticket)
			for range 2 {
				if e := b.Do("share", 2); !strings.Contains(e.Error, "the kind of the line cannot be told") || !strings.Contains(e.Error, filepath.Base(ticket)) {
					t.Errorf("Register of a Semaphore beside a Mutex that owns: %q, %s ahead; want that the kind of the line cannot be told", e.Error, e.Text)
				}
			}
			end()
			if e := b.Do("share", 2); !strings.Contains(e.Error, "cannot join it") {
				t.Errorf("Register of a Semaphore beside a Mutex that owns: %q, %s ahead; want that it cannot join", e.Error, e.Text)
			}
			b.Kill()
			a.MustUnlock()
			h.Check()
			wantNoFiles(t, h)
		})
	}
}

// K46. Paths become too long in the middle of a call: for a ticket, or for seq. Lock
// works or fails; either way nothing is left.
func TestK46LongPath(t *testing.T) {
	const longest = 4096 // PATH_MAX, with the NUL
	base := t.TempDir()
	for length := longest - 110; length <= longest; length++ {
		parent := base
		for len(parent)+252 < length {
			parent = filepath.Join(parent, strings.Repeat("d", min(250, length-len(parent)-252)))
		}
		if err := os.MkdirAll(parent, 0o700); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(parent, strings.Repeat("q", length-len(parent)-1))
		for _, q := range []*filequeue.Queue{filequeue.New(dir), filequeue.New(dir, filequeue.WithLabel("label"))} {
			m := lock.New(q)
			switch err := m.Lock(t.Context()); {
			case err == nil:
				waiter, granted := lock.New(q), make(chan error)
				go func() { granted <- waiter.Lock(t.Context()) }()
				faulttest.AwaitLine(t, q, 2)
				faulttest.MustUnlock(t, m)
				if err := <-granted; err != nil {
					t.Fatalf("with %d bytes the first had the lock, and the second: %.100q...", length, err)
				}
				faulttest.MustUnlock(t, waiter)
			case !errors.Is(err, unix.ENAMETOOLONG):
				t.Errorf("with %d bytes: %.100q..., want that the name is too long", length, err)
			}
		}
		if left := names(t, parent); len(left) > 0 {
			t.Fatalf("with %d bytes there is left %.100q", length, left)
		}
		if err := os.RemoveAll(filepath.Join(base, names(t, base)[0])); err != nil {
			t.Fatal(err)
		}
	}
}

// F38. A file may not be given its mode, which the umask has taken away: Lock says so, and
// the file does not stay in a directory that does.
func TestF38ChmodFails(t *testing.T) {
	spec := faulttest.File(t)
	spec.Mode = 0o666
	mustMkdir(t, spec.Dir)
	mustChmod(t, spec.Dir, 0o777)
	mustWrite(t, filepath.Join(spec.Dir, "foreign"), "")
	h := harness.New(t, spec)
	h.Tolerant = true
	a := h.Start()
	mustDo(t, a, "umask", "077")
	end := inject(t, a, nil, "fchmod,fchmodat:error=EPERM")
	if e := a.LockFor(patience).Cancelled(); e.Cause != harness.OtherCause {
		t.Errorf("Lock returned %q, want that the mode was refused", e.Error)
	}
	end()
	if left := names(t, spec.Dir); !slices.Equal(left, []string{"foreign"}) {
		t.Errorf("there is left %q", left)
	}
	h.Check()
}

// F38. seq cannot be read for once, and is ahead of the clock: Lock says so, and the
// numbers ascend.
func TestF38SeqIsNotRead(t *testing.T) {
	const ahead int64 = 4_000_000_000_000_000
	h := harness.New(t, faulttest.File(t))
	h.Tolerant = true
	a := h.Start()
	seq := filepath.Join(h.Spec.Dir, "seq")
	mustMkdir(t, h.Spec.Dir)
	mustChmod(t, h.Spec.Dir, 0o700)
	mustWrite(t, seq, fmt.Sprintf("%020d\nmade exclusive\n", ahead))
	end := inject(t, a, []string{seq}, "pread64:error=EIO:when=1")
	if e := a.LockFor(patience).Cancelled(); e.Cause != harness.OtherCause {
		t.Errorf("Lock returned %q, want that seq cannot be read", e.Error)
	}
	end()
	if e := a.Lock().Granted(); e.Ticket <= ahead {
		t.Errorf("token %d was given out after %d", e.Ticket, ahead)
	}
	a.MustUnlock()
	h.Check()
	if left := names(t, h.Spec.Dir); !slices.Equal(left, []string{"seq"}) {
		t.Errorf("there is left %q, want seq, which is ahead of the clock", left)
	}
}

// The directory is mounted elsewhere, as in a container, and is removed by the process that
// has made it: Lock says why nothing can be created there.
func TestMountedDirectoryThatIsRemoved(t *testing.T) {
	testenv.NeedRoot(t)
	made, mounted := filepath.Join(t.TempDir(), "queue"), t.TempDir()
	m := lock.New(filequeue.New(made))
	faulttest.MustLock(t, m)
	if err := unix.Mount(made, mounted, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("needs to mount: run where root may (CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() { unix.Unmount(mounted, unix.MNT_DETACH) })
	faulttest.MustUnlock(t, m)
	wantAbsent(t, made)
	err := lock.New(filequeue.New(mounted)).Lock(t.Context())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "creating seq") {
		t.Errorf("Lock returned %v, want that seq cannot be created", err)
	}
}

// K46. The file system knows no flock: Lock says so, and nothing is left.
func TestK46NoFlock(t *testing.T) {
	for _, errno := range []string{"ENOLCK", "EOPNOTSUPP", "ENOSYS"} {
		t.Run(errno, func(t *testing.T) {
			h := harness.New(t, faulttest.File(t))
			h.Tolerant = true
			a := h.Start()
			end := inject(t, a, nil, "flock:error="+errno)
			if e := a.LockFor(patience).Cancelled(); e.Cause != harness.OtherCause {
				t.Errorf("Lock returned %q, want at once that there is no flock", e.Error)
			}
			if e, ok := a.TryLock(); ok || e.Cause != harness.OtherCause {
				t.Errorf("TryLock returned %+v, want that there is no flock", e)
			}
			end()
			wantAbsent(t, h.Spec.Dir)
			a.Lock().Granted()
			a.MustUnlock()
			h.Check()
		})
	}
}

// hiddenPath is where the directory is made and removed.
func hiddenPath(dir string) string {
	id := uuid.NewSHA1(uuid.Nil, []byte(filepath.Base(dir)))
	return filepath.Join(filepath.Dir(dir), fmt.Sprintf(".new.%x", id[:]))
}

// K31. The directory was left hidden with the ticket of a living owner in it, and cannot be
// moved back. No other one is made at its path:
//
//  1. A process that cleans up has the directory locked. A locks, which does not wait for
//     that.
//  2. The other one moves the directory to its hidden path, and is gone.
//  3. B calls Lock, and may not move the directory back: it says so.
//  4. It may again: B waits for A.
func TestK31HiddenThatCannotBeMovedBack(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	h.Tolerant = true
	cleaner := cleanerOf(t, h.Spec.Dir)
	defer cleaner.Close()
	a, b := h.Start(), h.Start()
	a.Lock().Granted()
	hidden := hiddenPath(h.Spec.Dir)
	if err := os.Rename(h.Spec.Dir, hidden); err != nil {
		t.Fatal(err)
	}
	cleaner.Close()
	end := inject(t, b, []string{hidden}, "renameat2:error=EACCES")
	b.LockFor(patience)
	e := b.Await(0, "an end", func(e harness.Event) bool { return e.Kind == harness.Granted || e.Kind == harness.Cancelled })
	if e.Kind == harness.Granted {
		t.Fatal("two own: another directory was made, and A's ticket is in the hidden one")
	}
	if e.Cause != harness.OtherCause || !strings.Contains(e.Error, fmt.Sprintf("%q", hidden)) {
		t.Errorf("Lock ended with %q, want that the directory cannot be moved back", e.Error)
	}
	end()
	call := b.StandInLineFor(patience)
	a.MustUnlock()
	call.Granted()
	b.MustUnlock()
	h.Check()
	wantNoFiles(t, h)
}

// K46. The file system knows flock on files alone, and a process was killed while it made
// the directory, so that nothing tells that it is gone: the next one goes without the
// hidden path.
func TestK46NoFlockOnDirectories(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a := h.Start()
	hidden := hiddenPath(h.Spec.Dir)
	mustMkdir(t, hidden)
	mustWrite(t, filepath.Join(hidden, "seq"), "")
	end := inject(t, a, []string{hidden}, "flock:error=ENOLCK")
	a.LockFor(patience).Granted()
	a.MustUnlock()
	end()
	wantAbsent(t, h.Spec.Dir)
	h.Check()
}

// cleanerOf makes the directory, and has it locked as a cleaner does, or a process that is
// about to remove it.
func cleanerOf(t *testing.T, dir string) *os.File {
	t.Helper()
	mustMkdir(t, dir)
	mustChmod(t, dir, 0o700)
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	return f
}

// K48. What tidies up in /tmp skips a directory on which there is a flock; so there
// is one for as long as there is a ticket of a process that lives. One that a cleaner
// has taken itself is no obstacle.
func TestK48FlockOnTheDirectory(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	a, b := h.Start(), h.Start()
	a.Lock().Granted()
	if !isLocked(t, h.Spec.Dir) {
		t.Error("there is no flock on the directory of a lock that is held")
	}
	call := b.StandInLineFor(patience)
	a.Kill()
	call.Granted()
	if !isLocked(t, h.Spec.Dir) {
		t.Error("there is no flock on the directory, when the first that had one was killed")
	}
	b.MustUnlock()
	wantAbsent(t, h.Spec.Dir)

	cleaner := cleanerOf(t, h.Spec.Dir)
	defer cleaner.Close()
	c := h.Start()
	c.LockFor(patience).Granted()
	c.MustUnlock()
	h.Check()
}

// K48. systemd-tmpfiles finds a held ticket that is older than what it removes.
func TestK48SystemdTmpfiles(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.Need(t, "systemd-tmpfiles")
	spec := faulttest.File(t)
	h := harness.New(t, spec)
	a, b := h.Start(), h.Start()
	a.Lock().Granted()
	old := time.Now().Add(-time.Hour)
	garbage := filepath.Join(filepath.Dir(spec.Dir), "garbage")
	mustWrite(t, garbage, "")
	for _, path := range []string{garbage, filepath.Join(spec.Dir, "seq"), mustTicket(t, spec.Dir), spec.Dir} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	rules := filepath.Join(t.TempDir(), "rules.conf")
	mustWrite(t, rules, "e "+filepath.Dir(spec.Dir)+" - - - mM:1m\n")
	if out, err := exec.Command("systemd-tmpfiles", "--clean", rules).CombinedOutput(); err != nil {
		testenv.Unable(t, "needs a systemd-tmpfiles that runs here: %v: %s", err, out)
	}
	wantAbsent(t, garbage) // it has cleaned up
	if _, ok := b.TryLock(); ok {
		t.Error("the ticket of the holder was cleaned up")
	}
	a.MustUnlock()
	h.Check()
}

// K54. seq cannot be given its mode, in a directory that stays because there is a
// foreign file in it:
//
//  1. A calls Lock, and stands after its n-th system call that makes something or
//     changes a mode, which has failed if it is one that changes a mode.
//  2. B calls Lock, and owns, or waits for A.
//  3. A goes on: its call fails, or does not.
//  4. What B has locked is still at its path, and C's TryLock finds it taken.
func TestK54ModeOfSeqRefused(t *testing.T) {
	const most = 25 // a call that fails may be repeated for a while
	n := 1
	for n <= most && k54(t, n) {
		n++
	}
	t.Logf("met at %d system calls", n-1)
	if n == 1 {
		t.Error("A was stopped nowhere")
	}
}

func k54(t *testing.T, n int) bool {
	t.Helper()
	spec := faulttest.File(t)
	spec.Mode = 0o666
	mustMkdir(t, spec.Dir)
	mustChmod(t, spec.Dir, 0o777)
	mustWrite(t, filepath.Join(spec.Dir, "foreign"), "")
	h := harness.New(t, spec)
	h.Tolerant = true
	a, b, c := h.Start(), h.Start(), h.Start()
	mustDo(t, a, "umask", "077")
	const makes = "openat,linkat,renameat,renameat2"
	s := step(t, a, makes, "-e", "trace=fchmod,fchmodat,"+makes,
		"-e", "inject=fchmod,fchmodat:error=EPERM:signal=STOP:when=1+1")
	overA, overB := untilOver(a), untilOver(b)
	ends := func() bool { return owns(a) || overA() }
	s.LockFor(patience)
	for range n - 1 {
		if s.awaitStop(ends) {
			s.resume()
		}
	}
	if !s.awaitStop(ends) {
		return false
	}
	b.LockFor(patience)
	staysWell(t, b, faulttest.Moment)
	s.resume()
	s.steps(func() bool { return ends() || a.Count(harness.Registered) > 0 })
	if owns(b) {
		if _, err := os.Stat(filepath.Join(spec.Dir, "seq")); err != nil {
			t.Errorf("seq of the holder, at call %d: %v", n, err)
		}
		if _, ok := c.TryLock(); ok {
			t.Errorf("two own, at call %d", n)
			c.MustUnlock()
		}
	}
	drain(s, b, overA, overB)
	if e := b.AwaitKind(0, harness.Released); e.Cause != harness.None {
		t.Errorf("Unlock, at call %d: %s", n, e.Error)
	}
	if left := names(t, spec.Dir); !slices.Equal(left, []string{"foreign"}) {
		t.Errorf("there is left %q, at call %d", left, n)
	}
	h.Check()
	return true
}

// K57. A user that may write above the queue swaps what A makes there for a link to a
// directory of a victim:
//
//  1. A calls Lock, and stands after its n-th system call.
//  2. Every directory beside the victim's is replaced by a link to the victim's.
//  3. A goes on, and fails or not.
//
// The victim's directory keeps its mode, and so do the files in it.
func TestK57SwappedForALink(t *testing.T) {
	met := 0
	for n, more := 1, true; more; n++ {
		spec := faulttest.File(t)
		spec.Mode = 0o666
		base := filepath.Dir(spec.Dir)
		victim := filepath.Join(t.TempDir(), "victim")
		mustMkdir(t, victim)
		mustChmod(t, victim, 0o700)
		precious := filepath.Join(victim, "precious")
		mustWrite(t, precious, "")
		was := mustLstat(t, victim)
		h := harness.New(t, spec)
		h.Tolerant, h.Losses = true, true
		w := h.Start()
		mustDo(t, w, "umask", "077")
		a := step(t, w, "mkdirat,openat,newfstatat,fchmod,fchmodat,linkat,renameat,renameat2")
		over := func() bool { return owns(w) || w.Count(harness.Cancelled) > 0 }
		call := a.Lock()
		for range n - 1 {
			if a.awaitStop(over) {
				a.resume()
			}
		}
		if more = a.awaitStop(over); more {
			met++
			for _, name := range names(t, base) {
				made := filepath.Join(base, name)
				away := filepath.Join(t.TempDir(), "away")
				if err := os.Rename(made, away); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(victim, made); err != nil {
					t.Fatal(err)
				}
			}
			a.resume()
			canceled := make(chan struct{})
			end := time.AfterFunc(2*time.Second, func() { defer close(canceled); call.Cancel() })
			a.steps(over)
			if !end.Stop() {
				<-canceled
			}
		}
		w.Kill()
		wantDirectory(t, victim, was)
		if mode := mustLstat(t, precious).Mode(); mode != 0o600 {
			t.Errorf("the victim's file has the mode %v, had %v", mode, os.FileMode(0o600))
		}
	}
	t.Logf("met at %d system calls", met)
	if met < 3 {
		t.Error("A has made fewer than 3 system calls that matter")
	}
}

// K58. To come and go alone in a directory that cannot be removed makes no pause: no
// call waits for anything in package filequeue. The runtime counts that.
func TestK58DirectoryThatStays(t *testing.T) {
	runtime.SetBlockProfileRate(1)
	defer runtime.SetBlockProfileRate(0)
	for name, stay := range map[string]func(t *testing.T, dir string) string{
		"a foreign file": func(t *testing.T, dir string) string {
			mustMkdir(t, dir)
			mustChmod(t, dir, 0o700)
			mustWrite(t, filepath.Join(dir, "foreign"), "")
			return dir
		},
		"a link": func(t *testing.T, dir string) string {
			mustMkdir(t, dir)
			mustChmod(t, dir, 0o700)
			link := dir + "-link"
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			return link
		},
		"a mount point": func(t *testing.T, _ string) string {
			dir := mount(t, "tmpfs", "")
			mustChmod(t, dir, 0o700)
			return dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := lock.New(filequeue.New(stay(t, faulttest.File(t).Dir)))
			const rounds = 100
			before := pauses(t)
			for range rounds {
				faulttest.MustLock(t, m)
				faulttest.MustUnlock(t, m)
			}
			if n := pauses(t) - before; n > rounds/10 { // the runtime may have made one
				t.Errorf("%d pauses in %d times", n, rounds)
			}
		})
	}
}

// pauses is how often a goroutine has waited in package filequeue, since the runtime
// counts it.
func pauses(t *testing.T) (n int64) {
	t.Helper()
	records := make([]runtime.BlockProfileRecord, 10_000)
	filled, ok := runtime.BlockProfile(records)
	if !ok {
		t.Fatal("too many places where a goroutine has waited")
	}
	for _, r := range records[:filled] {
		frames := runtime.CallersFrames(r.Stack())
		for frame, more := frames.Next(); more; frame, more = frames.Next() {
			if strings.Contains(frame.Function, "queue/filequeue.") {
				n += r.Count
				break
			}
		}
	}
	return n
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// mountFUSE mounts a file system of FUSE, which cannot move without replacing, and
// returns where.
func mountFUSE(t *testing.T) (target string) {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.Need(t, "bindfs", "fusermount3")
	behind, target := t.TempDir(), t.TempDir()
	if out, err := exec.Command("bindfs", behind, target).CombinedOutput(); err != nil {
		t.Skipf("needs FUSE: run where root may use /dev/fuse: bindfs: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	return target
}

// K42. Another process moves into the directory between the two steps in which it is made
// there. It does not know that a queue has made it; the one that did does.
func TestK42MovedInWhileMade(t *testing.T) {
	h := harness.New(t, harness.File(filepath.Join(mountFUSE(t), "queue")))
	slow, fast := step(t, h.Start(), "mkdirat"), h.Start()
	locked := slow.LockFor(time.Minute)
	for slow.awaitStop(func() bool { return owns(slow.Process) }) && !isThere(h.Spec.Dir) {
		slow.resume()
	}
	fast.LockFor(patience).Granted()
	slow.steps(func() bool { return slow.Count(harness.Registered) > 0 }) // it has found a seq that is not its own
	fast.MustUnlock()
	slow.steps(func() bool { return owns(slow.Process) })
	locked.Granted()
	slow.Tell("unlock")
	slow.steps(func() bool { return slow.Count(harness.Released) > 0 })
	h.Check()
	wantAbsent(t, h.Spec.Dir)
}

// K42. A FUSE file system, on which a directory that was removed cannot be looked at
// any more, though it is open.
func TestK42FUSE(t *testing.T) {
	h := harness.New(t, harness.File(filepath.Join(mountFUSE(t), "queue")))
	h.Section = 100 * time.Microsecond
	workers := h.StartAll(4)
	workers[0].LockFor(patience).Granted()
	workers[0].MustUnlock()
	wantAbsent(t, h.Spec.Dir)
	for _, w := range workers {
		w.Run(1, 100)
	}
	for _, w := range workers {
		w.Finished()
	}
	h.Check()
	if left := names(t, filepath.Dir(h.Spec.Dir)); len(left) > 0 {
		t.Errorf("there is left %q", left)
	}
}

// X06. A process dies after any system call that makes, moves or removes something. What
// it has left is gone, also beside the directory, when the next one has come and gone:
//
//  1. A locks and unlocks, and is killed after its n-th such call.
//  2. B locks and unlocks.
func TestX06NothingIsLeftBeside(t *testing.T) {
	for name, spec := range map[string]func() harness.Spec{
		"private": func() harness.Spec { return faulttest.File(t) },
		"shared": func() harness.Spec {
			spec := faulttest.File(t)
			spec.Mode = 0o660
			return spec
		},
		"shared by two users": func() harness.Spec {
			spec := openToAll(t, faulttest.File(t))
			spec.Mode = 0o666
			return spec
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := 1
			for x06Beside(t, spec(), n) {
				n++
			}
			t.Logf("killed at %d system calls", n-1)
			if n < 8 {
				t.Error("A was killed at fewer than 7 system calls")
			}
		})
	}
}

// x06Beside reports false if A has not made n system calls.
func x06Beside(t *testing.T, spec harness.Spec, n int) bool {
	t.Helper()
	h := harness.New(t, spec)
	var first, second []harness.Change
	if spec.Mode == 0o666 {
		first, second = append(first, harness.As(1, 1)), append(second, harness.As(2, 2))
	}
	worker, b := h.Start(first...), h.Start(second...)
	a := step(t, worker, "mkdirat,openat,flock,fchmod,fchmodat,linkat,renameat,renameat2,unlinkat,rmdir,pwrite64")
	over := func() bool { return worker.Count(harness.Done) > 0 }
	worker.Run(1, 1)
	for range n - 1 {
		if a.awaitStop(over) {
			a.resume()
		}
	}
	if !a.awaitStop(over) {
		return false
	}
	worker.Kill()
	b.LockFor(patience).Granted()
	b.MustUnlock()
	if left := names(t, filepath.Dir(spec.Dir)); len(left) > 0 {
		t.Errorf("killed at call %d: there is left %q", n, left)
	}
	h.Check()
	return true
}

// K48. An exclusive flock of a cleaner on the directory is not waited for: a call looks
// for some 40 ms whether it is that of a process of the queue.
func TestK48ForeignFlockIsNotWaitedFor(t *testing.T) {
	runtime.SetBlockProfileRate(1)
	defer runtime.SetBlockProfileRate(0)
	spec := faulttest.File(t)
	cleaner := cleanerOf(t, spec.Dir)
	defer cleaner.Close()
	m := lock.New(filequeue.New(spec.Dir))
	const rounds, looks = 5, 30
	before := pauses(t)
	for range rounds {
		faulttest.MustLock(t, m)
		faulttest.MustUnlock(t, m)
	}
	if n := pauses(t) - before; n > rounds*looks {
		t.Errorf("%d pauses in %d times", n, rounds)
	}
}
