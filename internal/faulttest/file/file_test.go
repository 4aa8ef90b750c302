//go:build linux

package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// A process dies at every system call of its way, while others contend.
func TestX06KilledAtEverySystemCall(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	h.Section, h.Gap = 200*time.Microsecond, 2*time.Millisecond
	others := h.StartAll(2)
	for _, w := range others {
		w.Run(1, 0)
	}
	deaths := 0
	for _, call := range []string{"openat", "flock", "pwrite64", "write", "unlinkat", "getdents64", "newfstatat", "mkdirat", "close", "fcntl"} {
		for _, when := range []int{1, 2, 3, 5, 8} {
			inject := fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, when)
			// What has the directory as an argument, or a file in it.
			victim := h.Start(underStrace(t, "-P", h.Spec.Dir, "-P", h.Spec.Dir+"/seq", "-e", "trace="+call, "-e", inject))
			victim.Run(1, 5)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				victim.Ends()
			}()
			for done := false; !done; {
				select {
				case <-ended:
					deaths++
					done = true
				case <-time.After(time.Millisecond):
					if victim.Count(harness.Done) > 0 { // it does not make that many
						victim.Kill()
						<-ended
						done = true
					}
				}
			}
		}
	}
	for _, w := range others {
		w.Finish()
	}
	for _, w := range others {
		w.Finished()
	}
	t.Logf("killed at %d system calls", deaths)
	if deaths < 20 { // of 50; some calls are not made so often in a thread
		t.Error("workers died at fewer than 20 system calls")
	}
	h.Check()
	h.CheckNothingIsLeft()
}

// A process is stopped at every system call of its way, for a while: with the lock on
// seq, between its number and its ticket, between its ticket and the flock on it, in the
// middle of judging, or of cleaning up. The others wait, or go on without it. No process
// is in the section beside it, and none is evicted.
func TestX06StoppedAtEverySystemCall(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	h.Section, h.Gap = 200*time.Microsecond, 2*time.Millisecond
	others := h.StartAll(2)
	for _, w := range others {
		w.Run(1, 0)
	}
	stops := 0
	for _, call := range []string{"openat", "flock", "pwrite64", "unlinkat", "getdents64", "newfstatat", "fstat", "mkdirat", "close"} {
		inject := fmt.Sprintf("inject=%s:signal=STOP:when=1+2", call)
		told := filepath.Join(t.TempDir(), call)
		victim := h.Start(underStrace(t, "-o", told, "-P", h.Spec.Dir, "-P", h.Spec.Dir+"/seq", "-e", "trace="+call, "-e", inject))
		victim.Run(1, 5)
		for victim.Count(harness.Done) == 0 {
			time.Sleep(5 * time.Millisecond) // as long as it stands at most
			if err := syscall.Kill(-victim.PID, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
		victim.Kill()
		text, err := os.ReadFile(told)
		if err != nil {
			t.Fatal(err)
		}
		stops += strings.Count(string(text), "--- stopped by SIGSTOP")
	}
	for _, w := range others {
		w.Finish()
	}
	for _, w := range others {
		w.Finished()
	}
	t.Logf("stopped %d times", stops)
	if stops == 0 {
		t.Error("no worker was stopped at a system call")
	}
	h.Check()
	h.CheckNothingIsLeft()
}

// A system call fails, once or for a while, at every place where it is made:
// the call of Lock or Unlock that it meets fails or survives it, and nothing is
// broken or left behind.
func TestF38SystemCallsFail(t *testing.T) {
	for _, c := range []struct{ call, errno string }{
		{"openat", "EINTR"}, {"openat", "EIO"}, {"openat", "EMFILE"}, {"openat", "ENOSPC"},
		{"flock", "EINTR"}, {"flock", "EIO"}, {"flock", "ENOLCK"},
		{"pwrite64", "EINTR"}, {"pwrite64", "EIO"}, {"pwrite64", "ENOSPC"},
		{"unlinkat", "EIO"}, {"unlinkat", "EINTR"},
		{"getdents64", "EIO"}, {"newfstatat", "EIO"}, {"fstat", "EIO"}, {"close", "EIO"},
	} {
		t.Run(c.call+" "+c.errno, func(t *testing.T) {
			t.Parallel()
			h := harness.New(t, faulttest.File(t))
			h.Section = 100 * time.Microsecond
			h.Tolerant = true // the call that meets the error may return it
			h.Losses = true   // and a descriptor that seems closed is a lost ticket
			// Every 7th of a thread, so that it is another one each time around. Of close, which
			// strace knows by the path of what is closed, it sees few: most are of removed files.
			when := "4+7"
			if c.call == "close" {
				when = "1+2"
			}
			inject := fmt.Sprintf("inject=%s:error=%s:when=%s", c.call, c.errno, when)
			log := filepath.Join(t.TempDir(), "strace")
			victim := h.Start(underStrace(t, "--seccomp-bpf", "-o", log, "-P", h.Spec.Dir, "-P", h.Spec.Dir+"/seq", "-e", "trace="+c.call, "-e", inject))
			other := h.Start()
			victim.Run(1, 0)
			other.Run(1, 0) // as long as the victim, which alone closes nothing but removed files
			for victim.Count(harness.Released) < 20 || other.Count(harness.Released) < 20 || injections(t, log) == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			victim.Finish()
			other.Finish()
			victim.Finished()
			other.Finished()
			v := h.Check()
			if c.errno == "EINTR" && v.Failures > 0 {
				t.Errorf("EINTR has surfaced: %v", v)
			}
			victim.Kill()
			h.CheckNothingIsLeft()
		})
	}
}

// The disk is full while B waits behind A, whose age it must look at, for which seq is
// written: it waits on.
func TestF38DiskIsFullForAWaiter(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	h.Spec.Stale = time.Minute
	a := h.Start()
	h.Spec.Stale = 0
	b := h.Start()
	a.Lock().Granted()
	call := b.StandInLine()
	inject(t, b, []string{h.Spec.Dir, h.Spec.Dir + "/seq"}, "pwrite64:error=ENOSPC")
	call.StaysBlocked(10 * faulttest.Moment)
	a.MustUnlock() // B needs to write nothing for its turn, nor to leave
	call.Granted()
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// Processes that see none of each other, each number 1 of its own pid
// namespace, as in containers.
func TestF35PIDNamespaces(t *testing.T) {
	testenv.NeedRoot(t)
	h := harness.New(t, faulttest.File(t))
	a, b, c := h.Start(harness.OwnPIDNamespace), h.Start(harness.OwnPIDNamespace), h.Start()
	a.Lock().Granted()
	second, third := b.StandInLine(), c.StandInLine()
	second.StaysBlocked(3 * faulttest.Moment) // a lives, though no other sees its pid
	third.StaysBlocked(faulttest.Moment)
	b.Kill()
	third.StaysBlocked(faulttest.Moment)
	a.Kill()
	third.Granted()
	c.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// The main test, through pid namespaces, with kills.
func TestF35PIDNamespacesContend(t *testing.T) {
	testenv.NeedRoot(t)
	h := harness.New(t, faulttest.File(t))
	h.Section = 200 * time.Microsecond
	workers := h.StartAll(4, harness.OwnPIDNamespace)
	for _, w := range workers {
		w.Run(1, 0)
	}
	h.AwaitCount(harness.Wrote, 300)
	workers[0].Kill()
	workers[1].Kill()
	h.AwaitCount(harness.Wrote, 600)
	for _, w := range workers[2:] {
		w.Finish()
		w.Finished()
	}
	h.Check()
	h.CheckNothingIsLeft()
}

// Two users share a queue that lets them, whatever their umasks.
func TestF21TwoUsers(t *testing.T) {
	h := harness.New(t, twoUsers(t))
	h.Section = 200 * time.Microsecond
	users := []*harness.Process{h.Start(harness.As(1, 1)), h.Start(harness.As(2, 2))}
	for _, w := range users {
		w.Run(1, 100)
	}
	for _, w := range users {
		w.Finished()
	}
	if v := h.Check(); v.Failures != 0 {
		t.Errorf("%v; want that both can use it", v)
	}
	h.CheckNothingIsLeft()
}

// A user's process is killed when it has created its ticket's file and has not
// given it the mode yet. The other user cannot open that file, and goes on.
func TestF21KilledBeforeTheMode(t *testing.T) {
	h := harness.New(t, twoUsers(t))
	holder := h.Start(harness.As(2, 2))
	holder.Lock().Granted() // there is a directory and a seq
	victim := h.Start(harness.As(1, 1), underStrace(t, "-e", "trace=fchmod", "-e", "inject=fchmod:signal=KILL:when=1"))
	victim.Lock()
	victim.Ends()
	waiter := h.Start(harness.As(2, 2))
	call := waiter.StandInLine()
	holder.MustUnlock()
	call.Granted()
	waiter.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// twoUsers is a file queue that the users 1 and 2 can get at and share.
func twoUsers(t *testing.T) harness.Spec {
	t.Helper()
	spec := openToAll(t, faulttest.File(t))
	spec.Mode = 0o666
	return spec
}

// Wherever a process is killed, seq is a whole number or not there.
func TestF18SeqIsWhole(t *testing.T) {
	kills := testenv.Fewer(60)
	h := harness.New(t, faulttest.File(t))
	whole := regexp.MustCompile(`^\d{20}\n(made|kept) [a-z ]{9}\n$`)
	_, keep := faulttest.Mutex(t, h.Spec)
	held := faulttest.MustRegister(t, keep) // so that the queue is not cleaned up
	random := harness.Random(t)
	seq := func() string { return mustRead(t, filepath.Join(h.Spec.Dir, "seq")) }
	next := h.Start(harness.Environment("GOMAXPROCS=1"))
	for range kills {
		victim, before := next, seq()
		victim.Tell("churn")
		next = h.Start(harness.Environment("GOMAXPROCS=1"))
		for seq() == before {
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Duration(random.Int64N(int64(2 * time.Millisecond))))
		victim.Kill()
		if is := seq(); !whole.MatchString(is) {
			t.Fatalf("seq is %q", is)
		}
	}
	if err := keep.Remove(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	next.Kill()
	h.CheckNothingIsLeft()
}

// Another program that may write to the queue's directory swaps its files for links to a
// file of its own. Whatever happens to the lock, that file is not touched.
func TestF08SwappedForLinks(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	const precious = "precious"
	if err := os.WriteFile(victim, []byte(precious), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(victim)
	if err != nil {
		t.Fatal(err)
	}
	h := harness.New(t, harness.File(filepath.Join(dir, "queue")))
	h.Tolerant, h.Losses = true, true
	stop := make(chan struct{})
	var attack sync.WaitGroup
	attack.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			entries, _ := os.ReadDir(h.Spec.Dir)
			for _, e := range entries {
				path := filepath.Join(h.Spec.Dir, e.Name())
				if os.Remove(path) == nil {
					_ = os.Symlink(victim, path)
				}
			}
			_ = os.Symlink(victim, filepath.Join(h.Spec.Dir, "seq"))
			time.Sleep(500 * time.Microsecond)
			entries, _ = os.ReadDir(h.Spec.Dir)
			for _, e := range entries {
				if e.Type()&os.ModeSymlink != 0 {
					_ = os.Remove(filepath.Join(h.Spec.Dir, e.Name()))
				}
			}
			time.Sleep(500 * time.Microsecond)
		}
	})
	workers := h.StartAll(4)
	for _, w := range workers {
		w.Run(1, 0)
	}
	h.AwaitCount(harness.Called, 400)
	for _, w := range workers {
		w.Kill() // one may wait for what was swapped away
	}
	close(stop)
	attack.Wait()
	after, err := os.Stat(victim)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(victim)
	if err != nil || string(content) != precious || !after.ModTime().Equal(before.ModTime()) || after.Mode() != before.Mode() {
		t.Errorf("the victim is %q, %v, modified %v, was %q, modified %v", content, err, after.ModTime(), precious, before.ModTime())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 2 {
		t.Errorf("something was written outside of the queue: %v, %v", entries, err)
	}
}

// The queue's directory is removed under the holder and the waiters. They line up in a
// new one, and the holder learns of it at Unlock at the latest. All are stopped
// meanwhile, because files are removed one by one: a waiter with the last ticket left
// would have its turn, and lose it again.
func TestF14DirectoryRemoved(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	h.Losses = true
	a, b, c := h.Start(), h.Start(), h.Start()
	held := a.Lock().Granted()
	second, third := b.StandInLine(), c.StandInLine()
	for _, w := range []*harness.Process{a, b, c} {
		w.Stop()
	}
	if err := os.RemoveAll(h.Spec.Dir); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*harness.Process{a, b, c} {
		w.Continue()
	}
	first, next := b, c
	e := firstGranted(second, third)
	if e.Worker == c.Number {
		first, next = c, b
	}
	if e.Ticket <= held.Ticket {
		t.Errorf("token %d comes after %d", e.Ticket, held.Ticket)
	}
	if u := a.Unlock(); u.Cause != harness.CauseLost {
		t.Errorf("Unlock returned %q, want ErrLost", u.Error)
	}
	first.MustUnlock()
	next.AwaitKind(0, harness.Granted)
	next.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// firstGranted waits for the one of the calls that is granted first.
func firstGranted(calls ...*harness.Call) harness.Event {
	first := make(chan harness.Event, len(calls))
	for _, c := range calls {
		go func() { first <- c.Granted() }()
	}
	return <-first
}

// No more files can be opened: what is new fails, and what is held stays held
// and can be released.
func TestF20NoDescriptorsLeft(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	h.Tolerant = true
	a, b := h.Start(), h.Start()
	a.Lock().Granted()
	call := b.StandInLine()
	a.Do("limit", 0)
	for range 10 {
		if e := a.Lock().Cancelled(); !strings.Contains(e.Error, "too many open files") {
			t.Errorf("Lock returned %q, want EMFILE", e.Error)
		}
	}
	call.StaysBlocked(faulttest.Moment)
	a.MustUnlock()
	call.Granted()
	b.MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// The queue works on each kind of local file system.
func TestF24FileSystems(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4", "xfs", "btrfs", "overlay"} {
		t.Run(kind, func(t *testing.T) {
			h := harness.New(t, harness.File(filepath.Join(mount(t, kind, ""), "queue")))
			h.Section = 100 * time.Microsecond
			workers := h.StartAll(4)
			for _, w := range workers {
				w.Run(1, 50)
			}
			for _, w := range workers {
				w.Finished()
			}
			// And the dead are recognised.
			workers[0].Lock().Granted()
			call := workers[1].StandInLine()
			workers[0].Kill()
			call.Granted()
			workers[1].MustUnlock()
			h.Check()
			h.CheckNothingIsLeft()
		})
	}
}

// Without inotify (used up, or not there at all) polling does.
func TestF26NoInotify(t *testing.T) {
	for _, errno := range []string{"EMFILE", "F28 ENOSYS"} {
		t.Run(errno, func(t *testing.T) {
			h := harness.New(t, faulttest.File(t))
			h.Section = 100 * time.Microsecond
			log := filepath.Join(t.TempDir(), "strace")
			deaf := underStrace(t, "-A", "-o", log, "-e", "trace=inotify_init1",
				"-e", "inject=inotify_init1:error="+strings.TrimPrefix(errno, "F28 "))
			workers := h.StartAll(4, deaf)
			runUntilInjected(t, log, workers)
			if v := h.Check(); v.Failures != 0 {
				t.Errorf("%v; want that nobody notices", v)
			}
			h.CheckNothingIsLeft()
		})
	}
}

// No more directories can be watched: the watch fails, polling does.
func TestF26NoWatches(t *testing.T) {
	h := harness.New(t, faulttest.File(t))
	log := filepath.Join(t.TempDir(), "strace")
	deaf := underStrace(t, "-A", "-o", log, "-e", "trace=inotify_add_watch", "-e", "inject=inotify_add_watch:error=ENOSPC")
	workers := h.StartAll(3, deaf)
	runUntilInjected(t, log, workers)
	if v := h.Check(); v.Failures != 0 {
		t.Errorf("%v; want that nobody notices", v)
	}
	h.CheckNothingIsLeft()
}

// runUntilInjected has workers contend until each of them has been through 4 sections, and
// strace has made a call of one fail: alone, one after the other, they make none.
func runUntilInjected(t *testing.T, log string, workers []*harness.Process) {
	t.Helper()
	for _, w := range workers {
		w.Run(1, 0)
	}
	few := func(w *harness.Process) bool { return w.Count(harness.Released) < 4 }
	for slices.ContainsFunc(workers, few) || injections(t, log) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	for _, w := range workers {
		w.Finish()
	}
	for _, w := range workers {
		w.Finished()
	}
}

// seq is replaced by an older copy of itself, as when a backup is restored.
func TestF32SeqFromABackup(t *testing.T) {
	spec := faulttest.File(t)
	m, q := faulttest.Mutex(t, spec)
	other, _ := faulttest.Mutex(t, spec)
	faulttest.MustLock(t, m)
	seq := filepath.Join(spec.Dir, "seq")
	old, err := os.ReadFile(seq)
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	restore := func() {
		t.Helper()
		if err := os.WriteFile(seq, old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	restore()
	next, err := q.Register(t.Context())
	if err != nil || next.Number <= waiting.Number {
		t.Errorf("ticket %d after %d: %v", next.Number, waiting.Number, err)
	}
	for _, ticket := range []queue.Ticket{waiting, next} {
		if err := q.Remove(t.Context(), ticket); err != nil {
			t.Fatal(err)
		}
	}
	last := m.Token()
	faulttest.MustUnlock(t, m)
	mustMkdir(t, spec.Dir)
	if err := os.Chmod(spec.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	restore() // with no ticket in line
	faulttest.MustLock(t, other)
	if token := other.Token(); token <= max(last, next.Number) {
		t.Errorf("token %d after %d", token, max(last, next.Number))
	}
	faulttest.MustUnlock(t, other)
}

// One directory by many paths is one queue.
func TestF33OneDirectoryManyPaths(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real")
	mustMkdir(t, filepath.Join(real, "sub"))
	if err := os.Chmod(real, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	paths := []string{
		filepath.Join(real, "queue"),
		filepath.Join(link, "queue"),
		real + "/sub/../queue",
		real + "/queue/",
	}
	if os.Geteuid() == 0 {
		bound := filepath.Join(dir, "bound")
		mustMkdir(t, bound)
		if err := syscall.Mount(real, bound, "", syscall.MS_BIND, ""); err == nil {
			t.Cleanup(func() { _ = syscall.Unmount(bound, syscall.MNT_DETACH) })
			paths = append(paths, filepath.Join(bound, "queue"))
		}
	}
	h := harness.New(t, harness.File(paths[0]))
	h.Section = 100 * time.Microsecond
	var workers []*harness.Process
	for _, path := range paths {
		workers = append(workers, h.Start(harness.With(harness.File(path))))
	}
	for _, w := range workers {
		w.Run(1, 60)
	}
	for _, w := range workers {
		w.Finished()
	}
	h.Check()
	h.CheckNothingIsLeft()

	// And inside one process.
	inside := 0
	var all sync.WaitGroup
	for _, path := range paths {
		m := lock.New(filequeue.New(path))
		all.Go(func() {
			for range 50 {
				if err := m.Lock(context.Background()); err != nil {
					t.Error(err)
					return
				}
				inside++ // the race detector sees it when two paths are two locks
				if err := m.Unlock(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if want := 50 * len(paths); inside != want {
		t.Errorf("counted %d, want %d", inside, want)
	}
}

// Nothing can be removed from the directory. Unlock says so. Its ticket is out of the
// line all the same, and is passed over.
func TestF37TicketsCannotBeRemoved(t *testing.T) {
	testenv.NeedRoot(t)
	spec := harness.File(filepath.Join(mount(t, "ext4", ""), "queue"))
	h := harness.New(t, spec)
	h.Tolerant = true
	workers := h.StartAll(3)
	var calls []*harness.Call
	for _, w := range workers {
		c := w.StandInLine()
		calls = append(calls, c)
	}
	setAttribute(t, spec.Dir, appendOnly, true)
	defer setAttribute(t, spec.Dir, appendOnly, false)
	for i, w := range workers {
		calls[i].Granted()
		if e := w.Unlock(); e.Cause != harness.OtherCause {
			t.Errorf("Unlock returned %q, and the ticket is still there", e.Error)
		}
	}
	setAttribute(t, spec.Dir, appendOnly, false)
	h.Check()
	h.CheckNothingIsLeft()
}

// What has hindered the removal of a ticket passes: the process removes it when it looks into
// the directory again, and with its last ticket at the latest.
func TestRemovalThatIsHinderedForAMoment(t *testing.T) {
	testenv.NeedRoot(t)
	dir := filepath.Join(mount(t, "ext4", ""), "queue")
	q := filequeue.New(dir)
	hindered := func(ticket queue.Ticket) {
		setAttribute(t, dir, appendOnly, true)
		defer setAttribute(t, dir, appendOnly, false)
		if err := q.Release(t.Context(), ticket); err == nil {
			t.Error("the ticket was removed")
		}
	}
	first, second, last := faulttest.MustRegister(t, q), faulttest.MustRegister(t, q), faulttest.MustRegister(t, q)
	hindered(first)
	if err := q.CleanupStale(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, first.Member)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the first ticket is there after a look at the directory: %v", err)
	}
	hindered(second)
	if err := q.Release(t.Context(), last); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
}

// A ticket that seems to be of a living process is dead if no process holds it: a pid
// proves nothing.
func TestF36PIDReuse(t *testing.T) {
	spec := faulttest.File(t)
	m, _ := faulttest.Mutex(t, spec)
	if err := os.Mkdir(spec.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	planted := filepath.Join(spec.Dir, fmt.Sprintf("%020d.%d.%032x", 1, os.Getpid(), 1))
	if err := os.WriteFile(planted, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	faulttest.MustLock(t, m)
	if _, err := os.Stat(planted); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ticket of the dead is there: %v", err)
	}
	faulttest.MustUnlock(t, m)
}

// Two Mutex values, and two goroutines of each, in one process.
func TestF40TwoValuesInOneProcess(t *testing.T) {
	faulttest.OnBoth(t, faulttest.LongLease, func(t *testing.T, spec harness.Spec) {
		first, q := faulttest.Mutex(t, spec)
		second, _ := faulttest.Mutex(t, spec)
		inside := make(chan struct{}, 1)
		var all sync.WaitGroup
		for _, m := range []*lock.Mutex{first, first, second, second} {
			all.Go(func() {
				for range 100 {
					if err := m.Lock(context.Background()); err != nil {
						t.Error(err)
						return
					}
					select {
					case inside <- struct{}{}:
						<-inside
					default:
						t.Error("somebody else is inside")
					}
					if err := m.Unlock(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		faulttest.AwaitEmpty(t, q)
	})
}
