//go:build unix

package filequeue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// twoProcesses returns two queues of one directory that know nothing of each other, as
// those of two processes: the second one comes by another way.
func twoProcesses(t *testing.T, opts ...Option) (dir string, a, b *Queue) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("way", filepath.Join(root, "other")); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(root, "way", "queue")
	return dir, New(dir, opts...), New(filepath.Join(root, "other", "queue"), opts...)
}

func mustRename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func mustTake(t *testing.T, q *Queue) queue.Ticket {
	t.Helper()
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Release(context.Background(), ticket) })
	return ticket
}

func wantHead(t *testing.T, what string, q *Queue, ticket queue.Ticket, want bool) {
	t.Helper()
	if head, err := q.IsHead(t.Context(), ticket); err != nil || head != want {
		t.Errorf("%s: IsHead returned %v, %v, want %v", what, head, err, want)
	}
}

// slowly is register, step by step: locked is called when the call has locked seq and
// read it, and free when it has found that a ticket would own.
func (q *Queue) slowly(ctx context.Context, onlyFree bool, locked, free func()) (t queue.Ticket, ok bool, err error) {
	err = q.with(ctx, "register", true, func(c *call) error {
		r := &registration{ctx: ctx, s: c.s, onlyFree: onlyFree, alone: true}
		l, err := c.lockSeq(noLimit, r)
		if err != nil {
			return err
		}
		defer l.unlock()
		locked()
		if onlyFree {
			if free, err := l.isFree(); !free || err != nil {
				return err
			}
		}
		free()
		l.join([]*registration{r})
		t, ok = r.ticket, r.taken != nil
		return r.err
	})
	return t, ok, err
}

// While A has seq locked, seq is moved away; B takes a ticket, with a seq of its own; and
// seq is moved back. A knows the line as it was, and that its own seq is as it has left
// it: nevertheless B's ticket stands before A's next one.
func TestK31SeqIsAwayForAWhile(t *testing.T) {
	dir, a, b := twoProcesses(t)
	first := mustTake(t, a)
	var between queue.Ticket
	second, _, err := a.slowly(t.Context(), false, func() {
		seq := filepath.Join(dir, seqName)
		mustRename(t, seq, seq+".away")
		between = mustTake(t, b)
		mustRename(t, seq+".away", seq)
	}, func() {})
	if errors.Is(err, errBusy) {
		second = mustTake(t, a) // as Register does
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Release(context.Background(), second) })
	if err := a.Release(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	wantHead(t, "the ticket of B, which came first", b, between, true)
	wantHead(t, "the second ticket of A", a, second, false)
}

// The same between A's look at the line, which is free, and A's ticket: A's TryRegister,
// which does not stand in line, has none then.
func TestK31SeqIsAwayWhileTheLineIsFree(t *testing.T) {
	dir, a, b := twoProcesses(t)
	var between queue.Ticket
	second, ok, err := a.slowly(t.Context(), true, func() {}, func() {
		seq := filepath.Join(dir, seqName)
		mustRename(t, seq, seq+".away")
		between = mustTake(t, b)
		mustRename(t, seq+".away", seq)
	})
	if ok {
		t.Errorf("TryRegister returned ticket %d behind ticket %d: %+v", second.Number, between.Number, second)
	}
	if err != nil && !errors.Is(err, errBusy) {
		t.Error(err)
	}
	wantHead(t, "the ticket of B", b, between, true)
}

// mustHide moves the directory to where the last process that leaves moves it.
func mustHide(t *testing.T, dir string) { t.Helper(); mustRename(t, dir, HiddenAt(dir)) }

// Another user has something at the hidden path, and a lock on it. That is no process that
// makes the directory of this one, and is not waited for.
func TestFileHiddenPathOfAnotherUser(t *testing.T) {
	testenv.NeedRoot(t)
	const nobody = 65534
	dir, a, _ := twoProcesses(t)
	hidden := HiddenAt(dir)
	if err := errors.Join(os.Mkdir(hidden, 0o755), os.Chown(hidden, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	theirs, err := os.Open(hidden)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := syscall.Flock(int(theirs.Fd()), syscall.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	ticket := mustTake(t, a)
	if err := a.Release(t.Context(), ticket); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(hidden); err != nil {
		t.Errorf("the other user's directory: %v", err)
	}
}

// A holds, and the directory is moved away. TryRegister finds that nothing is in line at the
// path.
func TestFileTryWhereTheLineWasMovedAway(t *testing.T) {
	dir, a, _ := twoProcesses(t)
	held := mustTake(t, a)
	mustRename(t, dir, dir+".away")
	other, ok, err := a.TryRegister(t.Context())
	if err != nil || !ok {
		t.Fatalf("TryRegister returned %v, %v, want a ticket", ok, err)
	}
	if err := a.Release(t.Context(), other); err != nil {
		t.Error(err)
	}
	if err := a.Release(t.Context(), held); !errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("Release of the ticket that was moved away returned %v", err)
	}
}

// A process that cleans up has the exclusive flock on the directory, and has listed it. seq
// was replaced, and B has joined since, which does not wait for the flock for long. It has
// moved the directory away to remove it, which it will not be able to, and is slow. B keeps
// its place, and so do the others of its process; another call waits.
func TestK31HiddenWithATicket(t *testing.T) {
	dir, a, b := twoProcesses(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cleaner, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer cleaner.Close()
	if err := syscall.Flock(int(cleaner.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	holder := mustTake(t, b)
	waiting := mustTake(t, b)
	mustHide(t, dir)
	if err := b.Refresh(t.Context(), holder); err != nil {
		t.Errorf("Refresh of the holder returned %v", err)
	}
	wantHead(t, "the holder", b, holder, true)
	wantHead(t, "the second", b, waiting, false)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Register(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Register returned %v while the directory was hidden", err)
	}
	if err := b.Refresh(t.Context(), holder); err != nil {
		t.Errorf("after a Register of the same process Refresh of the holder returned %v", err)
	}
	mustRename(t, HiddenAt(dir), dir)
	cleaner.Close()
	if last := mustTake(t, a); last.Ahead != 2 {
		t.Errorf("%d are ahead of a later ticket, want the two", last.Ahead)
	}
	if err := b.Release(t.Context(), holder); err != nil {
		t.Errorf("Release of the holder returned %v", err)
	}
	wantHead(t, "the second, now", b, waiting, true)
}

// The process that cleans up was killed when it had moved the directory away, before or
// after it has removed seq. The next Register moves the directory back.
func TestK31LeftHiddenWithATicket(t *testing.T) {
	for _, seq := range []bool{true, false} {
		t.Run(fmt.Sprintf("seq is there: %v", seq), func(t *testing.T) {
			dir, _, b := twoProcesses(t)
			holder := mustTake(t, b)
			if !seq {
				if err := os.Remove(filepath.Join(dir, seqName)); err != nil {
					t.Fatal(err)
				}
			}
			mustHide(t, dir)
			if second := mustTake(t, b); second.Ahead != 1 {
				t.Errorf("%d are ahead of the second ticket, want 1", second.Ahead)
			}
			if _, err := os.Stat(dir); err != nil {
				t.Errorf("the directory is not at its path: %v", err)
			}
			wantHead(t, "the holder", b, holder, true)
		})
	}
}

// Where there is another directory at the path, the hidden one is gone: what uses it is
// told.
func TestK31HiddenBehindAnother(t *testing.T) {
	dir, _, b := twoProcesses(t)
	holder := mustTake(t, b)
	mustHide(t, dir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.Refresh(t.Context(), holder); !errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("Refresh returned %v, want ErrNotQueued", err)
	}
	if err := os.RemoveAll(HiddenAt(dir)); err != nil {
		t.Error(err)
	}
}

// The directory was removed while it was hidden, and another process makes one at the same
// name: that is not moved.
func TestK31AnotherIsHidden(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "queue")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := lockedfile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(HiddenAt(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Restore(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is something at the path: %v", err)
	}
}

// Two move the directory back at the same time: both find that it is back, whichever has
// done it, and no ticket is lost.
func TestK31TwoRestore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "queue")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const many = 8
	var dirs [many]*lockedfile.Dir
	for i := range dirs {
		d, err := lockedfile.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		dirs[i] = d
	}
	for range 200 { // the second one must come between the look and the move of the first
		mustHide(t, dir)
		begin := make(chan struct{})
		var all sync.WaitGroup
		for _, d := range dirs {
			all.Go(func() {
				<-begin
				if err := d.Restore(); err != nil {
					t.Error(err)
				}
			})
		}
		close(begin)
		all.Wait()
		if t.Failed() {
			return
		}
	}
}
