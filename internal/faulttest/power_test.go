//go:build linux

package faulttest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/tools"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// disk is an ext4 file system whose power can fail.
type disk struct {
	t      *testing.T
	image  string
	target string // where it is mounted
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	needRoot(t)
	tools.Need(t, "mkfs.ext4")
	dir := t.TempDir()
	d := &disk{t, filepath.Join(dir, "image"), filepath.Join(dir, "mounted")}
	mustMkdir(t, d.target)
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.image, 32<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", d.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if err := d.mount(); err != nil {
		t.Skipf("no file system to be mounted here: %v", err)
	}
	t.Cleanup(d.unmount)
	return d
}

func (d *disk) mount() error {
	out, err := exec.Command("mount", "-o", "loop", d.image, d.target).CombinedOutput()
	if err != nil {
		d.t.Log(string(out))
	}
	return err
}

// unmount waits until nobody has anything open there.
func (d *disk) unmount() {
	const patience = 10 * time.Second
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		err := syscall.Unmount(d.target, 0)
		if err == nil {
			return
		}
		if err != syscall.EBUSY || time.Since(began) > patience {
			d.t.Errorf("unmount %s: %v", d.target, err)
			_ = syscall.Unmount(d.target, syscall.MNT_DETACH)
			return
		}
	}
}

// restart brings the power back.
func (d *disk) restart() {
	d.t.Helper()
	d.unmount()
	if err := d.mount(); err != nil {
		d.t.Fatal(err)
	}
}

// fail cuts the power: what is not on the disk by now never gets there, and
// everything that needs the disk fails. This is how the tests of file systems
// themselves do it.
func (d *disk) fail() {
	d.t.Helper()
	const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	f, err := os.Open(d.target)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	flags := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		d.t.Fatalf("shut down the file system: %v", errno)
	}
}

// The power fails, at any time, with whatever of the queue on the disk. When it
// is back, the queue is as good as new, tickets of before hold nobody up, and
// tokens ascend.
func TestF19PowerFails(t *testing.T) {
	d := newDisk(t)
	h := harness.New(t, harness.File(filepath.Join(d.target, "queue")))
	h.Tolerant = true
	h.Section = 100 * time.Microsecond
	random := harness.Random(t)
	for range 5 {
		workers := h.StartAll(4)
		for _, w := range workers {
			w.Run(1, 0)
		}
		served(workers, 1+random.IntN(20))
		if random.IntN(3) > 0 {
			syscall.Sync() // so that there is something of it
		}
		served(workers, 1+random.IntN(20))
		d.fail()
		refused(t, h.Spec.Dir)
		for _, w := range workers {
			w.Kill()
		}
		d.restart()
		left, _ := os.ReadDir(h.Spec.Dir)
		t.Logf("the power is back, and %d files", len(left))
	}
	last := h.StartAll(4)
	for _, w := range last {
		w.Run(1, 10)
	}
	for _, w := range last {
		w.Finished()
	}
	h.Check()
	h.CheckNothingIsLeft()
}

// served waits until each of the workers was granted the lock so many times more.
func served(workers []*harness.Process, times int) {
	for _, w := range workers {
		for range times {
			w.AwaitKind(w.Mark(), harness.Granted)
		}
	}
}

// refused checks that a queue whose disk has failed says so.
func refused(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := lock.New(queue.NewFile(dir))
	switch err := m.Lock(ctx); {
	case err == nil:
		t.Error("the lock was to be had without a disk")
	case ctx.Err() != nil || !strings.Contains(err.Error(), dir):
		t.Errorf("Lock returned %v, want what is wrong with the disk", err)
	}
}

// The disk fails, and the machine goes on: whoever needs the queue is told so,
// the waiters included, and has nothing of it open any more. When the disk is
// back, the same processes go on.
func TestF19DiskFails(t *testing.T) {
	d := newDisk(t)
	h := harness.New(t, harness.File(filepath.Join(d.target, "queue")))
	h.Tolerant = true
	holder, waiter, last, other := h.Start(), h.Start(), h.Start(), h.Start()
	held := holder.Lock().Granted()
	const patience = 10 * time.Second // that is never needed
	call := waiter.LockFor(patience)
	call.Registered()
	behind := last.LockFor(patience)
	behind.Registered()
	wantDiskError := func(what string, e harness.Event) {
		t.Helper()
		if e.Cause != harness.OtherCause || !strings.Contains(e.Error, h.Spec.Dir) || !strings.Contains(e.Error, "input/output error") {
			t.Errorf("%s returned %q, want EIO and the queue's name", what, e.Error)
		}
	}
	d.fail()
	wantDiskError("Lock of somebody who comes", other.Lock().Cancelled())
	e, _ := other.TryLock()
	wantDiskError("TryLock", e)
	wantDiskError("Lock of the next in line", call.Cancelled())
	wantDiskError("Lock of the one behind", behind.Cancelled())
	wantDiskError("Unlock", holder.Unlock())

	d.restart() // which shows that nothing is open
	workers := []*harness.Process{other, holder, waiter, last}
	var calls []*harness.Call
	for _, w := range workers {
		c := w.Lock()
		c.Registered()
		calls = append(calls, c)
	}
	for i, w := range workers {
		if e := calls[i].Granted(); e.Ticket <= held.Ticket {
			t.Errorf("token %d comes after %d", e.Ticket, held.Ticket)
		}
		w.Write()
		w.MustUnlock()
	}
	h.Check()
	h.CheckNothingIsLeft()
}
