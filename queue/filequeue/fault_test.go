//go:build unix

package filequeue_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// victim is a file outside the directory that must not change.
type victim struct {
	*testing.T
	path string
	info fs.FileInfo
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	path := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(path, []byte("precious"), 0o640); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return &victim{t, path, info}
}

func (v *victim) wantUntouched() {
	v.Helper()
	content, err := os.ReadFile(v.path)
	if err != nil || string(content) != "precious" {
		v.Errorf("the victim is %q, %v", content, err)
	}
	info, err := os.Stat(v.path)
	if err != nil || !info.ModTime().Equal(v.info.ModTime()) || info.Mode() != v.info.Mode() {
		v.Errorf("the victim is %v, %v, was %v", info, err, v.info)
	}
}

// What is at seq and is not a plain file is refused: at once, with an error
// that says what it is, and without touching what it leads to.
func TestFileSeqIsNoFile(t *testing.T) {
	v := newVictim(t)
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for what, plant := range map[string]func(path string) error{
		"symbolic link (to a file)":      func(p string) error { return os.Symlink(v.path, p) },
		"symbolic link (to nothing)":     func(p string) error { return os.Symlink(nowhere, p) },
		"symbolic link (to itself)":      func(p string) error { return os.Symlink("seq", p) },
		"symbolic link (to a directory)": func(p string) error { return os.Symlink(t.TempDir(), p) },
		"FIFO":                           func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"directory":                      func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		t.Run(what, func(t *testing.T) {
			f := newFileFixture(t)
			f.mkdir()
			f.write(planted, "")
			f.must("plant", plant(f.path("seq")))
			word, _, _ := strings.Cut(what, " (")
			_, register := f.q.Register(t.Context())
			_, _, try := f.q.TryRegister(t.Context())
			for _, err := range []error{register, try, f.q.CleanupStale(t.Context())} {
				if err == nil || !strings.Contains(err.Error(), "seq is a") || !strings.Contains(err.Error(), word) {
					t.Errorf("got %v, want an error that says that seq is a %s", err, word)
				}
			}
			f.q.MaybeCleanup(t.Context())
			if want := []string{planted, "seq"}; !slices.Equal(f.names(), want) {
				t.Errorf("the directory has %q, want %q", f.names(), want)
			}
			v.wantUntouched()
			if _, err := os.Lstat(nowhere); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the link was followed and its target created: %v", err)
			}
		})
	}
}

// What is at the path and is no directory is refused, and not opened: that of a FIFO
// would wait for the other end.
func TestFileDirectoryIsNone(t *testing.T) {
	for what, plant := range map[string]func(path string) error{
		"a FIFO": func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a link to a FIFO": func(p string) error {
			return errors.Join(syscall.Mkfifo(p+"2", 0o600), os.Symlink(p+"2", p))
		},
		"a file": func(p string) error { return os.WriteFile(p, nil, 0o600) },
	} {
		t.Run(what, func(t *testing.T) {
			f := newFileFixture(t)
			f.must("plant", plant(f.dir))
			for _, call := range []func() error{
				func() error { _, err := f.q.Register(t.Context()); return err },
				func() error { return f.q.CleanupStale(t.Context()) },
			} {
				answered := make(chan error, 1)
				go func() { answered <- call() }()
				err := f.unlessOpened(answered)
				if want := fmt.Sprintf("open %q: not a directory", f.dir); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %v, want %s", err, want)
				}
			}
		})
	}
}

// unlessOpened waits for the answer, and fails the test if the FIFO at the path of the
// directory is opened meanwhile, which it lets go on.
func (f *fileFixture) unlessOpened(answered <-chan error) error {
	f.Helper()
	for {
		select {
		case err := <-answered:
			return err
		case <-time.After(time.Millisecond):
		}
		if info, err := os.Stat(f.dir); err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
			continue
		}
		// Only where there is one that reads, or waits to.
		if fd, err := syscall.Open(f.dir, syscall.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			f.Error("the FIFO was opened")
			syscall.Close(fd)
		}
	}
}

// What has a ticket's name and is not a plain file is not a ticket.
func TestFileTicketIsNoFile(t *testing.T) {
	v := newVictim(t)
	for what, plant := range map[string]func(path string) error{
		"symbolic link":              func(p string) error { return os.Symlink(v.path, p) },
		"symbolic link (to nothing)": func(p string) error { return os.Symlink("nowhere", p) },
		"hard link":                  func(p string) error { return os.Link(v.path, p) },
		"FIFO":                       func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"directory":                  func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		t.Run(what, func(t *testing.T) {
			f := newFileFixture(t)
			f.mkdir()
			f.must("plant", plant(f.path(planted)))
			a, b := f.register(), f.register()
			if a.Ahead != 0 || b.Ahead != 1 {
				t.Errorf("%d and %d ahead, want 0 and 1", a.Ahead, b.Ahead)
			}
			err := f.q.Remove(t.Context(), queue.Ticket{Number: 0, Member: planted})
			if what != "hard link" { // of which only the name here is removed
				f.wantNotQueued("Remove", err)
			}
			f.release(a)
			f.wantPosition(b, 0)
			f.release(b)
			v.wantUntouched()
		})
	}
}

// A cleaner removes the files that are being made, seq and tickets: the one that makes it
// makes another one, and no ticket that is in line is lost by it.
func TestFileNewFileRemoved(t *testing.T) {
	f := newFileFixture(t).shared(2)
	held := f.register()
	var seqs, tickets atomic.Int64 // that were removed
	over := make(chan struct{})
	var cleaner sync.WaitGroup
	cleaner.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			removed := &seqs
			if _, err := os.Lstat(f.path("seq")); err == nil {
				removed = &tickets // seq is made before
			}
			for _, name := range f.names() {
				if strings.HasPrefix(name, "new.") && os.Remove(f.path(name)) == nil {
					removed.Add(1)
				}
			}
		}
	})
	defer cleaner.Wait()
	defer close(over)
	// A ticket is gone most often before it is locked, which is another case than after it.
	for seqs.Load() < 5 || tickets.Load() < 50 {
		f.must("Remove", os.Remove(f.path("seq"))) // so that it is made, too
		next := f.register()
		f.must("Refresh of the one that holds", f.q.Refresh(t.Context(), held))
		f.release(next)
	}
	f.release(held)
}

// A ticket that another program holds the lock of is waited for.
func TestFileForeignLockIsWaitedFor(t *testing.T) {
	f := newFileFixture(t)
	f.mkdir()
	f.write(planted, "")
	held := flock.New(f.path(planted))
	if ok, err := held.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	ticket := f.register()
	if ticket.Ahead != 1 {
		t.Errorf("%d ahead, want 1", ticket.Ahead)
	}
	f.wantPosition(ticket, 1)
	f.must("CleanupStale", f.q.CleanupStale(t.Context()))
	f.wantPosition(ticket, 1)
	f.must("Unlock", held.Unlock())
	f.wantPosition(ticket, 0)
	f.release(ticket)
}

// A ticket that is ahead of the clock, in a queue that has lost its seq, is
// still in front of the next one.
func TestFileTicketAheadOfTheClock(t *testing.T) {
	f := newFileFixture(t)
	f.mkdir()
	const number = 9_000_000_000_000_000
	name := fmt.Sprintf("%020d.1.0123456789abcdef0123456789abcdef", int64(number))
	f.write(name, "")
	held := flock.New(f.path(name))
	if ok, err := held.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer held.Unlock()
	if ticket := f.register(); ticket.Number != number+1 || ticket.Ahead != 1 {
		t.Errorf("got %+v, want number %d and 1 ahead", ticket, int64(number+1))
	}
}

// A lock on seq that is held for ever ends only with the ctx.
func TestFileSeqHeldByAnother(t *testing.T) {
	f := newFileFixture(t)
	held := f.register()
	w := f.hold()
	next := f.register()
	lock := flock.New(f.path("seq"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer lock.Unlock()

	ctx, cancel := context.WithTimeout(t.Context(), aMoment)
	defer cancel()
	_, err := f.q.Register(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), f.dir) {
		t.Errorf("Register: %v, want a deadline error that names the queue", err)
	}
	f.q.MaybeCleanup(t.Context()) // gives up at once

	// No ticket in line is held up by it.
	f.wantHead(held, true)
	f.wantPosition(next, 2)
	f.remove(held)
	w.await("head")
	f.wantPosition(next, 1)
	w.kill() // the free lock on its ticket is proof
	f.wantPosition(next, 0)
	f.must("Unlock", lock.Unlock())
	f.release(next)
}

// The ticket of a release is gone before the lock on seq is asked for. The holder of that
// lock is stopped, and cannot hold up the caller for as long.
func TestFileReleaseWhileSeqIsHeld(t *testing.T) {
	f := newFileFixture(t)
	held := f.register()
	lock := flock.New(f.path("seq"))
	if ok, err := lock.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	f.must("Release", f.q.Release(t.Context(), held)) // it would hang
	f.wantNoTickets()
	f.must("Unlock", lock.Unlock())
	f.q.MaybeCleanup(t.Context())
	f.wantNoDirectory()
}

func TestFileDirectoryRemovedWhileHeld(t *testing.T) {
	f := newFileFixture(t)
	held, waiting := f.register(), f.register()
	wake, stop, err := f.q.Watch(t.Context(), waiting)
	f.must("Watch", err)
	defer stop()
	f.must("RemoveAll", os.RemoveAll(f.dir))
	f.wantNotQueued("Refresh", f.q.Refresh(t.Context(), held))
	<-wake
	_, err = f.q.Position(t.Context(), waiting)
	f.wantNotQueued("Position", err)
	f.wantNotQueued("Release", f.q.Release(t.Context(), held))
	f.release(f.register())
	f.wantNoDirectory()
}

func TestFileDirectoryReplacedWhileHeld(t *testing.T) {
	f := newFileFixture(t)
	held, waiting := f.register(), f.register()
	f.must("Rename", os.Rename(f.dir, f.dir+"2"))
	f.mkdir()
	other := f.register()
	if other.Ahead != 0 {
		t.Errorf("%d ahead in the new directory, want 0", other.Ahead)
	}
	f.wantNotQueued("Refresh", f.q.Refresh(t.Context(), held))
	_, err := f.q.Position(t.Context(), waiting)
	f.wantNotQueued("Position", err)
	f.wantNotQueued("Remove", f.q.Remove(t.Context(), waiting))
	f.wantNotQueued("Release", f.q.Release(t.Context(), held))
	f.release(other)
	if names := f.names(); len(names) > 0 {
		t.Errorf("the new directory has %v, want nothing", names)
	}
}

func TestFileDirectoryMovedWhileHeld(t *testing.T) {
	f := newFileFixture(t)
	held := f.register()
	f.must("Rename", os.Rename(f.dir, f.dir+"2"))
	f.wantNotQueued("Refresh", f.q.Refresh(t.Context(), held))
	f.wantNotQueued("Release", f.q.Release(t.Context(), held))
	f.release(f.register())
	f.wantNoDirectory()
}

// Where the directory was, or one above it, is a file now.
func TestFileDirectoryReplacedByAFile(t *testing.T) {
	for name, replaced := range map[string]func(dir string) string{
		"the directory": func(dir string) string { return dir },
		"its parent":    filepath.Dir,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "above", "queue")
			f := &fileFixture{T: t, dir: dir, q: filequeue.New(dir)}
			held, waiting, leaving := f.register(), f.register(), f.register()
			path := replaced(dir)
			f.must("Rename", os.Rename(path, path+"2"))
			f.must("WriteFile", os.WriteFile(path, nil, 0o600))
			f.wantNotQueued("Refresh", f.q.Refresh(t.Context(), held))
			_, err := f.q.Position(t.Context(), waiting)
			f.wantNotQueued("Position", err)
			f.wantNotQueued("Release", f.q.Release(t.Context(), leaving))
		})
	}
}

// A directory that comes back does not bring back the tickets that were given up when it
// was found gone. Their locks are not held any more, so that the next one takes the line.
func TestFileDirectoryMovedAndBack(t *testing.T) {
	for by, find := range map[string]func(*fileFixture, queue.Ticket){
		"IsEmpty": func(f *fileFixture, _ queue.Ticket) { f.wantEmpty(true) },
		"Refresh": func(f *fileFixture, held queue.Ticket) {
			f.wantNotQueued("Refresh", f.q.Refresh(t.Context(), held))
		},
		"Position": func(f *fileFixture, held queue.Ticket) {
			_, err := f.q.Position(t.Context(), held)
			f.wantNotQueued("Position", err)
		},
	} {
		t.Run("found by "+by, func(t *testing.T) {
			f := newFileFixture(t)
			held, other := f.register(), f.register()
			f.must("Rename", os.Rename(f.dir, f.dir+"2"))
			find(f, held)
			f.must("Rename", os.Rename(f.dir+"2", f.dir))
			f.wantNotQueued("Refresh", f.q.Refresh(t.Context(), held))
			f.wantNotQueued("Release", f.q.Release(t.Context(), held))
			_ = f.q.Release(t.Context(), other) // it may not have been looked for meanwhile
			f.release(f.register())
			f.wantNoDirectory()
		})
	}
}

// Other code closes a descriptor that is not its own, and the lock is lost with
// it.
func TestFileStrayClose(t *testing.T) {
	f := newFileFixture(t)
	held := f.register()
	f.must("Refresh", f.q.Refresh(t.Context(), held))
	fd := descriptorOf(t, f.path(held.Member))
	f.must("Close", syscall.Close(fd))
	f.wantNotQueued("Refresh", f.q.Refresh(t.Context(), held))
	next := f.register()
	f.wantPosition(next, 0)
	f.release(next)
	f.wantNoDirectory()
}

// The number of the descriptor that other code has closed goes to another file,
// which must stay open whatever becomes of the ticket.
func TestFileStrayCloseAndReuse(t *testing.T) {
	for name, leave := range map[string]func(*fileFixture, queue.Ticket){
		"Refresh": func(f *fileFixture, held queue.Ticket) {
			f.wantNotQueued("Refresh", f.q.Refresh(t.Context(), held))
		},
		"Release": func(f *fileFixture, held queue.Ticket) { f.release(held) },
		"evicted": func(f *fileFixture, held queue.Ticket) {
			f.must("Remove", os.Remove(f.path(held.Member)))
			f.wantNotQueued("Refresh", f.q.Refresh(t.Context(), held))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFileFixture(t)
			held := f.register()
			fd := descriptorOf(t, f.path(held.Member))
			f.must("Close", syscall.Close(fd))
			v := newVictim(t)
			for got := -1; got != fd; { // the lowest that is free is given out
				var err error
				got, err = syscall.Open(v.path, syscall.O_RDONLY, 0)
				f.must("Open", err)
				if got != fd {
					defer syscall.Close(got)
				}
			}
			leave(f, held)
			for range 3 {
				runtime.GC() // finalizers close, too
			}
			content := make([]byte, 8)
			if _, err := syscall.Pread(fd, content, 0); err != nil || string(content) != "precious" {
				t.Errorf("the file behind the descriptor has %q, %v: it was closed", content, err)
			}
			f.must("Close", syscall.Close(fd))
			f.wantNoTickets()
		})
	}
}

func descriptorOf(t *testing.T, path string) int {
	t.Helper()
	var want, got syscall.Stat_t
	if err := syscall.Stat(path, &want); err != nil {
		t.Fatal(err)
	}
	for fd := range 1 << 16 {
		if syscall.Fstat(fd, &got) == nil && got.Dev == want.Dev && got.Ino == want.Ino {
			return fd
		}
	}
	t.Fatalf("%s is not open", path)
	return 0
}

// starvingWorker runs out of descriptors while it holds the lock and waits.
func starvingWorker(q *filequeue.Queue) error {
	ctx := context.Background()
	held, err := q.Register(ctx)
	if err != nil {
		return err
	}
	waiting, err := q.Register(ctx)
	if err != nil {
		return err
	}
	if err := noMoreFiles(0); err != nil {
		return err
	}
	for range 10 {
		if _, err := q.Register(ctx); !errors.Is(err, syscall.EMFILE) {
			return fmt.Errorf("Register without descriptors: %w, want EMFILE", err)
		}
	}
	if err := q.Refresh(ctx, held); err != nil {
		return err
	}
	wake, stop, err := q.Watch(ctx, waiting)
	if err != nil {
		return err
	}
	defer stop()
	if place, err := q.Position(ctx, waiting); err != nil || place.Ahead != 1 {
		return fmt.Errorf("Position is %d, %w, want 1", place.Ahead, err)
	}
	if err := q.Release(ctx, held); err != nil {
		return err
	}
	<-wake
	if place, err := q.Position(ctx, waiting); err != nil || place.Ahead != 0 {
		return fmt.Errorf("Position is %d, %w, want 0", place.Ahead, err)
	}
	return q.Release(ctx, waiting)
}

// besetWorker owns, and runs out of descriptors when a listing finds a dead ticket in front,
// which it cannot examine then. That is no reason to take it for one that does not own.
func besetWorker(q *filequeue.Queue) error {
	ctx := context.Background()
	held, err := q.Register(ctx)
	if err != nil {
		return err
	}
	dir := os.Getenv("FIFOLOCK_DIR")
	link := filepath.Join(filepath.Dir(dir), "link")
	if err := os.Symlink(filepath.Dir(dir), link); err != nil {
		return err
	}
	other := filequeue.New(filepath.Join(link, filepath.Base(dir))) // as another process: the next one lists
	another, err := other.Register(ctx)
	if err != nil {
		return err
	}
	if err := other.Release(ctx, another); err != nil {
		return err
	}
	dead := filepath.Join(dir, fmt.Sprintf("%020d.1.%s", held.Number-1, strings.ReplaceAll(uuid.NewString(), "-", "")))
	if err := os.WriteFile(dead, nil, 0o600); err != nil {
		return err
	}
	if err := noMoreFiles(0); err != nil {
		return err
	}
	if _, err := q.Register(ctx); !errors.Is(err, syscall.EMFILE) || !strings.Contains(err.Error(), "examining") {
		return fmt.Errorf("Register without descriptors: %w, want EMFILE when it examines the dead", err)
	}
	if place, err := q.Position(ctx, held); err == nil && place.Ahead > 0 {
		return fmt.Errorf("%d are ahead of one that owns", place.Ahead)
	}
	if err := noMoreFiles(100); err != nil {
		return err
	}
	if place, err := q.Position(ctx, held); err != nil || place.Ahead > 0 {
		return fmt.Errorf("%d are ahead, %v, when there are descriptors again", place.Ahead, err)
	}
	return q.Release(ctx, held)
}

func TestFileNoDescriptorsBehindTheDead(t *testing.T) {
	f := newFileFixture(t)
	f.start("beset", nil).end()
	f.wantNoDirectory()
}

// destituteWorker has no descriptors at first, and then one more each time, until
// it has enough. Up to then it leaves nothing behind, whatever it got as far as.
func destituteWorker(q *filequeue.Queue) error {
	ctx := context.Background()
	// Whatever it is that a program opens first, the runtime needs two descriptors
	// for itself along with it, and ends the process without.
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	null.Close()
	for n := range 100 {
		if err := noMoreFiles(n); err != nil {
			return err
		}
		t, err := q.Register(ctx)
		if err == nil {
			return q.Release(ctx, t)
		}
		if !errors.Is(err, syscall.EMFILE) {
			return fmt.Errorf("Register with %d descriptors: %w, want EMFILE", n, err)
		}
		if _, err := os.Lstat(os.Getenv("FIFOLOCK_DIR")); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("with %d descriptors the directory is left: %v", n, err)
		}
	}
	return errors.New("a hundred descriptors are not enough")
}

func TestFileNoDescriptorsAtAll(t *testing.T) {
	f := newFileFixture(t)
	f.start("destitute", nil).end()
	f.wantNoDirectory()
}

func TestFileNoDescriptorsLeft(t *testing.T) {
	f := newFileFixture(t)
	f.start("starving", nil).end()
	f.wantNoTickets()
	f.release(f.register())
	f.wantNoDirectory()
}

// noMoreFiles lets every open fail from now on that would give a descriptor of n
// or above. What is open stays so.
func noMoreFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = 0
	for range n { // its type differs between systems
		limit.Cur++
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// deafWorker waits behind another process, with nothing to listen to.
func deafWorker(q *filequeue.Queue) error {
	ctx := context.Background()
	t, err := q.Register(ctx)
	if err != nil {
		return err
	}
	if err := noMoreFiles(0); err != nil {
		return err
	}
	say("registered")
	if err := awaitHead(ctx, q, t); err != nil {
		return err
	}
	say("head")
	return q.Release(ctx, t)
}

func TestFileNothingToListenTo(t *testing.T) {
	f := newFileFixture(t)
	held := f.register()
	w := f.start("deaf", nil)
	w.await("registered")
	f.release(held)
	w.await("head")
	w.end()
	f.wantNoTickets()
}

// nobodyWorker is not root, and is told when to go on.
func nobodyWorker(q *filequeue.Queue) error {
	const nobody = 65534
	if err := syscall.Setuid(nobody); err != nil {
		return err
	}
	ctx, in := context.Background(), bufio.NewReader(os.Stdin)
	t, err := q.Register(ctx)
	if err != nil {
		say("refused", err)
		return nil
	}
	say("registered", t.Ahead)
	if _, err := in.ReadString('\n'); err != nil {
		return nil
	}
	say("release", q.Release(ctx, t))
	// Alive, so that it is not its death that frees the line.
	if _, err := in.ReadString('\n'); err == nil {
		q.MaybeCleanup(ctx)
		say("cleaned up")
		_, _ = in.ReadString('\n')
	}
	return nil
}

// letNobodyIn lets other users reach the directory.
func (f *fileFixture) letNobodyIn() {
	f.Helper()
	for dir := filepath.Dir(f.dir); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		f.must("Chmod", os.Chmod(dir, 0o755))
	}
}

// chownToNobody gives a new directory to another user, and lets that user in.
func (f *fileFixture) chownToNobody() {
	f.Helper()
	f.letNobodyIn()
	f.mkdir()
	f.must("Chown", os.Chown(f.dir, 65534, 65534))
}

// The error names what the user knows, and not the hidden name beside it.
func TestFileDirectoryThatCannotBeMade(t *testing.T) {
	testenv.NeedRoot(t)
	f := newFileFixture(t)
	f.chownToNobody()
	f.must("Remove", os.Remove(f.dir))
	w := f.start("nobody", nil)
	want := fmt.Sprintf("creating the directory: mkdir in %q: permission denied: this user has no right to it", filepath.Dir(f.dir))
	if text := w.await("refused"); !strings.Contains(text, want) {
		t.Errorf("the error is %q, want %q", text, want)
	}
	w.end()
}

func TestFileReadOnlyDirectory(t *testing.T) {
	testenv.NeedRoot(t)
	f := newFileFixture(t, filequeue.WithFileMode(0o600))
	f.chownToNobody()
	f.must("Chmod", os.Chmod(f.dir, 0o555))
	w := f.start("nobody", nil)
	if text := w.await("refused"); !strings.Contains(text, "permission denied") || !strings.Contains(text, f.dir) {
		t.Errorf("the error is %q, want one that says permission denied and names the queue", text)
	}
	w.end()
	if names := f.names(); len(names) > 0 {
		t.Errorf("the directory has %q, want nothing", names)
	}
}

// The directory becomes read-only while the lock is held. The owner that releases is
// told, and the others get on.
func TestFileReadOnlyWhileHeld(t *testing.T) {
	testenv.NeedRoot(t)
	f := newFileFixture(t, filequeue.WithFileMode(0o600))
	f.chownToNobody()
	w := f.start("nobody", nil)
	w.await("registered")
	next := f.register()
	f.wantPosition(next, 1)
	f.must("Chmod", os.Chmod(f.dir, 0o555))
	w.tell("release")
	if text := w.await("release"); !strings.Contains(text, "permission denied") {
		t.Errorf("Release of a ticket that cannot be removed: %q, want permission denied", text)
	}
	f.wantPosition(next, 0)
	f.release(next)
}

// A dead ticket that this user cannot remove (in a sticky directory, say) does
// not stand in line, and does no harm.
func TestFileDeadButUndeletable(t *testing.T) {
	testenv.NeedRoot(t)
	f := newFileFixture(t, filequeue.WithFileMode(0o666))
	f.chownToNobody()
	f.must("Chown", os.Chown(f.dir, 0, 0))
	f.must("Chmod", os.Chmod(f.dir, 0o777|fs.ModeSticky))
	f.write(planted, "")
	f.must("Chmod", os.Chmod(f.path(planted), 0o666))
	w := f.start("nobody", []string{"FIFOLOCK_SHARED=1"})
	if ahead := w.await("registered"); ahead != "0" {
		t.Errorf("%s ahead of the ticket, want 0", ahead)
	}
	w.tell("release")
	if text := w.await("release"); text != "<nil>" {
		t.Errorf("Release: %s", text)
	}
	if _, err := os.Lstat(f.path(planted)); err != nil {
		t.Fatalf("the ticket could be removed: %v", err)
	}
	if _, err := os.Lstat(f.path("seq")); err != nil {
		t.Errorf("seq was removed beside a ticket: %v", err)
	}
	f.release(f.register()) // root can
	f.wantNoTickets()
}

// The user that leaves last cannot remove the directory, which another one has made. seq
// stays, as it is where that is known before; it is never one that keeps the others out,
// whichever call cleans up.
func TestFileSharedDirectoryThatCannotBeRemoved(t *testing.T) {
	testenv.NeedRoot(t)
	for _, occupied := range []bool{false, true} {
		t.Run(fmt.Sprintf("its hidden path is occupied: %v", occupied), func(t *testing.T) {
			f := newFileFixture(t, filequeue.WithFileMode(0o666))
			f.letNobodyIn()
			hidden := filequeue.HiddenAt(f.dir)
			held := f.register()
			w := f.start("nobody", []string{"FIFOLOCK_SHARED=1"})
			w.await("registered")
			f.release(held)
			if occupied {
				f.must("occupy", os.WriteFile(hidden, nil, 0o600))
			}
			before, err := os.Stat(f.path("seq"))
			f.must("Stat", err)
			number := f.readSeq()
			for _, step := range []struct{ tell, said string }{{"release", "release <nil>"}, {"clean up", "cleaned up"}} {
				w.tell(step.tell)
				w.await(step.said)
				after, err := os.Stat(f.path("seq"))
				f.must("Stat", err)
				if after.Mode() != before.Mode() {
					t.Errorf("%s: the mode of seq is %v, was %v", step.said, after.Mode(), before.Mode())
				}
				if !occupied && !after.ModTime().Equal(before.ModTime()) {
					t.Errorf("%s: seq was removed and made anew", step.said)
				}
				if said := f.readSeq(); said != number {
					t.Errorf("%s: seq says %q, said %q", step.said, said, number)
				}
			}
			w.kill()
			if occupied {
				f.must("Remove", os.Remove(hidden))
			}
			f.release(f.register()) // root can
			f.wantNoDirectory()
		})
	}
}

func TestFileDirectoryOfOthers(t *testing.T) {
	f := newFileFixture(t)
	f.mkdir()
	for _, mode := range []fs.FileMode{0o777, 0o777 | fs.ModeSticky, 0o703} {
		f.must("Chmod", os.Chmod(f.dir, mode))
		if _, err := f.q.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "all users may write") {
			t.Errorf("Register in a directory of mode %v: %v, want it refused", mode, err)
		}
	}
	shared := filequeue.New(f.dir, filequeue.WithFileMode(0o666))
	ticket, err := shared.Register(t.Context())
	f.must("Register in a directory that is said to be shared", err)
	f.must("Release", shared.Release(t.Context(), ticket))
	f.mkdir()
	f.must("Chmod", os.Chmod(f.dir, 0o775))
	f.release(f.register())

	testenv.NeedRoot(t)
	f.chownToNobody()
	if _, err := f.q.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("Register in another user's directory: %v, want it refused", err)
	}
}

func TestFileMode(t *testing.T) {
	for _, umask := range []int{0, 0o002, 0o077} {
		old := syscall.Umask(umask)
		defer syscall.Umask(old)
		for _, c := range []struct {
			opts      []filequeue.Option
			file, dir fs.FileMode
		}{
			{nil, 0o600, 0o700},
			{[]filequeue.Option{filequeue.WithFileMode(0o660)}, 0o660, 0o770},
			{[]filequeue.Option{filequeue.WithFileMode(0o664)}, 0o664, 0o775},
			{[]filequeue.Option{filequeue.WithFileMode(0o666)}, 0o666, 0o777},
		} {
			f := newFileFixture(t, c.opts...)
			ticket := f.register()
			for name, want := range map[string]fs.FileMode{"": c.dir, "seq": c.file, ticket.Member: c.file} {
				info, err := os.Stat(f.path(name))
				f.must("Stat", err)
				if info.Mode().Perm() != want {
					t.Errorf("umask %03o: the mode of %q is %v, want %v", umask, name, info.Mode().Perm(), want)
				}
			}
			f.release(ticket)

			above := filepath.Join(t.TempDir(), "missing")
			q := filequeue.New(filepath.Join(above, "queue"), c.opts...)
			ticket, err := q.Register(t.Context())
			f.must("Register below a missing directory", err)
			info, err := os.Stat(above)
			f.must("Stat", err)
			if info.Mode().Perm() != c.dir {
				t.Errorf("umask %03o: the mode of the directory above is %v, want %v", umask, info.Mode().Perm(), c.dir)
			}
			f.must("Release", q.Release(t.Context(), ticket))
		}
	}
}

// A seq that has another name, too, is replaced, and stays shared, whichever call does it.
func TestFileModeOfSeqThatIsReplaced(t *testing.T) {
	const mode = 0o660
	f := newFileFixture(t, filequeue.WithFileMode(mode))
	held := f.register()
	f.must("Link", os.Link(f.path("seq"), f.dir+"2"))
	f.must("CleanupStale", filequeue.New(f.dir).CleanupStale(t.Context()))
	info, err := os.Stat(f.path("seq"))
	f.must("Stat", err)
	if other, err := os.Stat(f.dir + "2"); err != nil || os.SameFile(info, other) || info.Mode() != mode {
		t.Errorf("the mode of seq is %v (replaced: %v, %v), want another file of mode %#o", info.Mode(), !os.SameFile(info, other), err, mode)
	}
	f.release(held)
}

// A process that forgets to share its ticket is refused where the others share theirs.
// Once it is dead, it would hold up users that cannot see that it is.
func TestFileModeForgotten(t *testing.T) {
	f := newFileFixture(t, filequeue.WithFileMode(0o660))
	f.mkdir()
	f.must("Chmod", os.Chmod(f.dir, 0o770|fs.ModeSetgid))
	ticket := f.register()
	forgetful := filequeue.New(f.dir)
	for what, q := range map[string]*filequeue.Queue{"without the mode": forgetful, "with less": filequeue.New(f.dir, filequeue.WithFileMode(0o600))} {
		if _, err := q.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "give WithFileMode(0660)") {
			t.Errorf("Register %s returned %v, want that it is to be given", what, err)
		}
		if _, ok, err := q.TryRegister(t.Context()); ok {
			t.Errorf("TryRegister %s returned %v, %v", what, ok, err)
		}
	}
	if names := f.names(); !slices.Equal(names, []string{ticket.Member, "seq"}) {
		t.Errorf("the directory has %q, want the one ticket and seq", names)
	}
	f.must("Release by a process that has forgotten it", forgetful.Release(t.Context(), ticket))
}

// A directory below one with the setgid bit gets that bit, and its files their
// group by it, also where the umask is made up for.
func TestFileModeBelowSetgid(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	f := newFileFixture(t, filequeue.WithFileMode(0o660))
	f.must("Chmod", os.Chmod(filepath.Dir(f.dir), 0o755|fs.ModeSetgid))
	other := filepath.Join(filepath.Dir(f.dir), "other")
	f.must("Mkdir", os.Mkdir(other, 0o770))
	want, err := os.Stat(other)
	f.must("Stat", err)
	ticket := f.register()
	got, err := os.Stat(f.dir)
	f.must("Stat", err)
	if got.Mode()&fs.ModeSetgid != want.Mode()&fs.ModeSetgid || got.Mode().Perm() != 0o770 {
		t.Errorf("the mode is %v, want 0770 and the setgid bit of %v", got.Mode(), want.Mode())
	}
	f.release(ticket)
}

// When nothing is in use, nothing is open.
func TestFileLeavesNothingOpen(t *testing.T) {
	if _, err := os.ReadDir("/proc/self/fd"); err != nil {
		t.Skip("needs /proc: run on Linux")
	}
	// Without a collector, which closes what was forgotten.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := openFiles(t)
	f := newFileFixture(t)
	w := f.hold()
	for range 10 {
		a, b := f.register(), f.register()
		_, stop, err := f.q.Watch(t.Context(), a)
		f.must("Watch", err)
		f.wantPosition(b, 2)
		f.release(a)
		f.release(b)
		stop()
		stop()
	}
	w.kill()
	held := f.register()
	f.must("RemoveAll", os.RemoveAll(f.dir))
	f.wantNotQueued("Refresh", f.q.Refresh(t.Context(), held))
	f.register()
	f.must("RemoveAll", os.RemoveAll(f.dir))
	f.release(f.register())
	f.q.MaybeCleanup(t.Context())
	// The watcher is kept for a moment.
	for {
		after := openFiles(t)
		if !strings.Contains(after, f.dir) && strings.Count(after, "inotify") <= strings.Count(before, "inotify") {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func openFiles(t *testing.T) string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var files strings.Builder
	for _, e := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		files.WriteString(target + "\n")
	}
	return files.String()
}

// Two processes, here two paths, make the directory at the same time, for some calls
// each. A call of the slower one finds that it is there: it starts over, and takes
// nothing from the calls of its process that have opened the directory meanwhile.
func TestFileMadeByAnotherProcess(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	above := t.TempDir()
	if err := os.Mkdir(filepath.Join(above, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(above, "b")); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		var all sync.WaitGroup
		begin := make(chan struct{})
		for _, way := range []string{"a", "b"} {
			q := filequeue.New(filepath.Join(above, way, "queue"))
			for range 4 {
				all.Go(func() {
					<-begin
					ticket, err := q.Register(t.Context())
					if err == nil {
						err = q.Refresh(t.Context(), ticket)
					}
					if err == nil {
						err = q.Release(t.Context(), ticket)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		close(begin)
		all.Wait()
		if t.Failed() {
			return
		}
	}
}
