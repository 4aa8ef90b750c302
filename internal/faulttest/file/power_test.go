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
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// disk is an ext4 file system that can lose its power.
type disk struct {
	t      *testing.T
	image  string
	target string // where it is mounted
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.Need(t, "mkfs.ext4")
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
		t.Skipf("needs the right to mount: run where root has it (CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(d.unmount)
	return d
}

// mount mounts it so that what is not synced stays off the disk for long.
func (d *disk) mount() error {
	out, err := exec.Command("mount", "-o", "loop,commit=300,errors=remount-ro", d.image, d.target).CombinedOutput()
	if err != nil {
		d.t.Log(string(out))
	}
	return err
}

// unmount waits until no process has anything open there.
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
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush); err != nil {
		d.t.Fatalf("shut down the file system: %v", err)
	}
}

// damage has the file system find an error in itself. From then on it is
// read-only, which is what most systems have ext4 do.
func (d *disk) damage() {
	d.t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(d.target, &stat); err != nil {
		d.t.Fatal(err)
	}
	device, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev)))
	if err != nil {
		d.t.Fatal(err)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(device), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
		d.t.Fatal(err)
	}
}

// sync writes everything to the disk.
func (d *disk) sync() {
	d.t.Helper()
	f, err := os.Open(d.target)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		d.t.Fatal(err)
	}
}

// syncNames writes to the disk which files there are, and not what is new in
// them: the journal goes along with a file that has nothing to do with the others.
func (d *disk) syncNames() {
	d.t.Helper()
	f, err := os.Create(filepath.Join(d.target, "other"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		d.t.Fatal(err)
	}
}

// The power fails, at any time, with more or less of the queue on the disk. When
// it is back, the queue is as good as new: seq may be missing, empty or old,
// tickets of before hold no waiter up, and tokens ascend.
func TestF19PowerFails(t *testing.T) {
	for name, stale := range map[string]time.Duration{
		"file":                      0,
		"file with a stale timeout": time.Minute, // tickets have content
	} {
		t.Run(name, func(t *testing.T) { powerFails(t, stale) })
	}
}

func powerFails(t *testing.T, stale time.Duration) {
	d := newDisk(t)
	h := harness.New(t, harness.File(filepath.Join(d.target, "queue")))
	h.Spec.Stale = stale
	h.Tolerant = true
	h.Section = 100 * time.Microsecond
	random := harness.Random(t)
	found := make(map[string]int)
	for _, sync := range []func(){
		func() {}, d.syncNames, d.sync, func() {}, d.syncNames, d.sync,
	} {
		workers := h.StartAll(4)
		began := harness.Event{At: harness.Now()}
		for _, w := range workers {
			w.Run(1, 0)
		}
		longest := faulttest.LongLease / 2
		if stale > 0 {
			longest = stale / 2
		}
		for _, w := range workers {
			if gap := faulttest.Since(began, w.AwaitKind(0, harness.Granted)); gap > longest {
				t.Errorf("worker %d is served after %v", w.Number, gap)
			}
		}
		served(workers, random.IntN(5))
		sync()
		served(workers, random.IntN(5))
		d.fail()
		refused(t, h.Spec.Dir)
		for _, w := range workers {
			w.Kill()
		}
		d.restart()
		state := onDisk(t, h)
		t.Logf("the power is back, and %s", strings.Join(state, " and "))
		for _, what := range state {
			found[what]++
		}
	}
	// Not each of them: another process may write everything to all disks meanwhile.
	if found[noQueue]+found[emptySeq]+found[oldSeq] == 0 || found[deadTickets] == 0 {
		t.Errorf("the power came back to %v; want a seq that has forgotten, and tickets", found)
	}
	last := h.StartAll(4)
	for _, w := range last {
		w.Run(1, 10)
	}
	for _, w := range last {
		w.Finished()
	}
	if v := h.Check(); v.LostHolds != 0 {
		t.Errorf("%v; want that nobody loses the lock", v)
	}
	// A seq that has lost its content does not say any more that the queue has made the
	// directory. It stays, empty.
	if err := os.Remove(h.Spec.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	h.CheckNothingIsLeft()
}

// What there may be of a queue when the power is back.
const (
	noQueue     = "no queue"
	noSeq       = "no seq"
	emptySeq    = "an empty seq"
	oldSeq      = "an old seq"
	currentSeq  = "the last seq"
	deadTickets = "tickets of the dead"
)

// onDisk says what there is of the queue, compared with the tickets that have
// been given out.
func onDisk(t *testing.T, h *harness.Harness) (state []string) {
	t.Helper()
	entries, err := os.ReadDir(h.Spec.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return []string{noQueue}
	}
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != "seq" }) {
		state = append(state, deadTickets)
	}
	var last int64
	for _, e := range h.Events() {
		last = max(last, e.Ticket)
	}
	seq, err := os.ReadFile(filepath.Join(h.Spec.Dir, "seq"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return append(state, noSeq)
	case err != nil:
		t.Fatal(err)
	case len(seq) == 0:
		return append(state, emptySeq)
	case string(seq) < fmt.Sprintf("%020d\n", last):
		return append(state, oldSeq)
	}
	return append(state, currentSeq)
}

// served waits until each of the workers was granted the lock so many times more.
func served(workers []*harness.Process, times int) {
	for _, w := range workers {
		for range times {
			w.AwaitKind(w.Mark(), harness.Granted)
		}
	}
}

// refused checks that a queue on a disk that has failed says so.
func refused(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := lock.New(filequeue.New(dir))
	switch err := m.Lock(ctx); {
	case err == nil:
		t.Error("the lock was to be had without a disk")
	case ctx.Err() != nil || !strings.Contains(err.Error(), dir):
		t.Errorf("Lock returned %v, want what is wrong with the disk", err)
	}
}

// The disk fails, and the machine goes on. Every process that needs the queue is told so,
// the waiters included, and has nothing of it open any more. When the disk is back, the
// same processes go on.
func TestF19DiskFails(t *testing.T) {
	for errno, fail := range map[syscall.Errno]func(*disk){
		syscall.EIO:   (*disk).fail,
		syscall.EROFS: (*disk).damage,
	} {
		t.Run(errno.Error(), func(t *testing.T) { diskFails(t, fail, errno.Error()) })
	}
}

func diskFails(t *testing.T, fail func(*disk), reason string) {
	d := newDisk(t)
	h := harness.New(t, harness.File(filepath.Join(d.target, "queue")))
	h.Tolerant = true
	holder, waiter, last, other := h.Start(), h.Start(), h.Start(), h.Start()
	held := holder.Lock().Granted()
	const patience = 10 * time.Second // that is never needed
	call := waiter.StandInLineFor(patience)
	behind := last.StandInLineFor(patience)
	wantDiskError := func(what string, e harness.Event) {
		t.Helper()
		if e.Cause != harness.OtherCause || !strings.Contains(e.Error, h.Spec.Dir) || !strings.Contains(e.Error, reason) {
			t.Errorf("%s returned %q, want %s and the queue's name", what, e.Error, reason)
		}
	}
	fail(d)
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
		c := w.StandInLine()
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
