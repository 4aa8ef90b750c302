//go:build linux

package filequeue_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// With inotify no wake-up is lost, wherever two meet on their ways. If one were, a waiter
// would wait for ever.
func TestFileWatchMissesNothing(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	f := newFileFixture(t)
	const processes, rounds = 4, 200
	var workers []*worker
	for range processes {
		workers = append(workers, f.start("woken", []string{fmt.Sprint("FIFOLOCK_ROUNDS=", rounds)}))
	}
	for _, w := range workers {
		w.end()
	}
	f.wantNoDirectory()
}

// One of another process that waits behind those that own looks when it is told that the
// one before it owns, and must see then that the one that has left is gone: it is not told
// of that one.
func TestFileWatchToldWhenTheFileIsGone(t *testing.T) {
	f := newFileFixture(t).shared(2)
	a, b, c := f.register(), f.register(), f.register()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	f.must("InotifyInit1", err)
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	_, err = unix.InotifyAddWatch(fd, f.dir, unix.IN_ATTRIB|unix.IN_DELETE)
	f.must("InotifyAddWatch", err)
	f.release(a)
	said := make([]byte, 4096)
	n, err := events.Read(said)
	f.must("read the events", err)
	gone, told := bytes.Index(said[:n], []byte(a.Member)), bytes.Index(said[:n], []byte(c.Member))
	if gone < 0 || told < gone {
		t.Errorf("in the events the one that has left is at %d, and the one that owns now at %d, want that behind it", gone, told)
	}
	f.release(b)
	f.release(c)
}

func TestFileNoSpace(t *testing.T) {
	testenv.NeedRoot(t)
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=32k,nr_inodes=100,mode=700"); err != nil {
		t.Skipf("needs the right to mount: run where root has it (CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, 0) })
	f := &fileFixture{T: t, dir: filepath.Join(disk, "queue")}
	f.q = filequeue.New(f.dir)
	fill := filepath.Join(disk, "fill")
	big := make([]byte, 1<<20)

	// Full before the first: nothing is left behind.
	if err := os.WriteFile(fill, big, 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if _, err := f.q.Register(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Register: %v, want ENOSPC", err)
	}
	f.wantNoDirectory()

	// Full while held: nothing that is done then needs space.
	f.must("Remove", os.Remove(fill))
	held := f.register()
	os.WriteFile(fill, big, 0o600)
	waiting := f.register()
	f.must("Refresh", f.q.Refresh(t.Context(), held))
	f.wantHead(held, true)
	f.release(held)
	f.wantHead(waiting, true)
	f.release(waiting)
	f.wantNoDirectory()

	// No inodes left: seq has got the number, the ticket cannot be created.
	f.must("Remove", os.Remove(fill))
	held = f.register()
	for i := 0; ; i++ {
		if err := os.Mkdir(fmt.Sprint(fill, i), 0o700); err != nil {
			break
		}
	}
	if _, err := f.q.Register(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Register: %v, want ENOSPC", err)
	}
	f.release(held)
	f.wantNoDirectory()
	// One inode for the directory, none for seq.
	for i := 0; os.Mkdir(fmt.Sprint(fill, "more", i), 0o700) == nil; i++ {
	}
	f.must("Remove", os.Remove(fill+"0"))
	if _, err := f.q.Register(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Register: %v, want ENOSPC", err)
	}
	f.wantNoDirectory()

	f.must("Remove", os.Remove(fill+"1"))
	f.must("Remove", os.Remove(fill+"2"))
	f.must("Remove", os.Remove(fill+"3"))
	held = f.register()
	next := f.register()
	if next.Number <= held.Number || next.Ahead != 1 {
		t.Errorf("got %+v, want a higher number than %d and 1 ahead", next, held.Number)
	}
	f.release(held)
	f.release(next)
	f.wantNoDirectory()
}
