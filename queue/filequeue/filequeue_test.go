package filequeue_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
	"github.com/fifolock/fifolock/queue/queuetest"
)

func TestFileConformance(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return filequeue.New(filepath.Join(t.TempDir(), "queue"))
	})
}

func TestFileConformanceWithStaleTimeout(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	filequeue.SkipOnWindows(t, "there is no eviction by age")
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return filequeue.New(filepath.Join(t.TempDir(), "queue"), filequeue.WithStaleTimeout(time.Hour))
	})
}

func TestFileStaleTimeout(t *testing.T) {
	filequeue.SkipOnWindows(t, "there is no eviction by age")
	f := newFileFixture(t, filequeue.WithStaleTimeout(time.Hour))
	first, second := f.register(), f.register()
	if first.Lease != time.Hour {
		t.Errorf("the ticket's Lease is %v, want an hour", first.Lease)
	}
	f.remove(first)
	f.must("Chtimes", os.Chtimes(f.path(second.Member), time.Unix(0, 0), time.Unix(0, 0)))
	f.must("CleanupStale", f.q.CleanupStale(t.Context()))
	f.wantEmpty(true)
	f.wantNotQueued("Refresh of an evicted ticket", f.q.Refresh(t.Context(), second))
	f.wantNotQueued("Remove of an evicted ticket", f.q.Remove(t.Context(), second))
	f.q.MaybeCleanup(t.Context())
	f.wantNoDirectory()
}

func TestFileRefreshKeepsFromGoingStale(t *testing.T) {
	filequeue.SkipOnWindows(t, "there is no eviction by age")
	f := newFileFixture(t, filequeue.WithStaleTimeout(time.Hour))
	held := f.register()
	f.must("Chtimes", os.Chtimes(f.path(held.Member), time.Unix(0, 0), time.Unix(0, 0)))
	f.must("Refresh", f.q.Refresh(t.Context(), held))
	f.must("CleanupStale", f.q.CleanupStale(t.Context()))
	f.wantHead(held, true)
	f.release(held)
}

// Nothing is evicted for a time in the future, and one heartbeat mends it (F23).
func TestFileStaleTimeoutAndTheFuture(t *testing.T) {
	filequeue.SkipOnWindows(t, "there is no eviction by age")
	f := newFileFixture(t, filequeue.WithStaleTimeout(time.Hour))
	held := f.register()
	for _, at := range []time.Time{time.Now().Add(24 * time.Hour), time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)} {
		f.must("Chtimes", os.Chtimes(f.path(held.Member), at, at))
		f.must("CleanupStale", f.q.CleanupStale(t.Context()))
		f.wantHead(held, true)
		f.must("Refresh", f.q.Refresh(t.Context(), held))
		info, err := os.Stat(f.path(held.Member))
		f.must("Stat", err)
		if ahead := time.Until(info.ModTime()); ahead > time.Hour {
			t.Errorf("the ticket's time is %v ahead after a Refresh, want now", ahead)
		}
	}
	f.must("Chtimes", os.Chtimes(f.path(held.Member), time.Unix(0, 0), time.Unix(0, 0)))
	f.must("CleanupStale", f.q.CleanupStale(t.Context()))
	f.wantNotQueued("Refresh of an evicted ticket", f.q.Refresh(t.Context(), held))
	f.q.MaybeCleanup(t.Context())
	f.wantNoDirectory()
}

// A timeout is of the tickets that were taken with it, whichever queue looks at them.
func TestFileStaleTimeoutIsTheTickets(t *testing.T) {
	filequeue.SkipOnWindows(t, "there is no eviction by age")
	f := newFileFixture(t)
	impatient := filequeue.New(f.dir, filequeue.WithStaleTimeout(time.Hour))
	patient := f.register()
	f.must("Chtimes", os.Chtimes(f.path(patient.Member), time.Unix(0, 0), time.Unix(0, 0)))
	f.must("CleanupStale", impatient.CleanupStale(t.Context()))
	f.wantHead(patient, true)

	stale, err := impatient.Register(t.Context())
	f.must("Register", err)
	f.release(patient)
	f.must("Chtimes", os.Chtimes(f.path(stale.Member), time.Unix(0, 0), time.Unix(0, 0)))
	if next, ok, err := f.q.TryRegister(t.Context()); err != nil || !ok {
		t.Fatalf("TryRegister behind a stale head is %v, %v, want a ticket", ok, err)
	} else {
		f.release(next)
	}
	f.wantNoDirectory()
}

func TestFileNumbersAscendThroughCleanup(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	f := newFileFixture(t)
	last := int64(0)
	for range 1000 {
		ticket := f.register()
		if ticket.Number <= last {
			t.Fatalf("ticket %d after %d, want more", ticket.Number, last)
		}
		last = ticket.Number
		f.release(ticket)
		f.wantNoDirectory()
	}
}

func TestFileNumbersAscendThroughRemoveAll(t *testing.T) {
	filequeue.SkipOnWindows(t, "what is open cannot be removed")
	f := newFileFixture(t)
	last := int64(0)
	for range 100 {
		ticket := f.register()
		if ticket.Number <= last {
			t.Fatalf("ticket %d after %d, want more", ticket.Number, last)
		}
		last = ticket.Number
		f.must("RemoveAll", os.RemoveAll(f.dir))
	}
}

var corruptSeqs = []string{
	"", "\n", "abc", "-5", "+5", "1e3", "0x10", "12 34", "٣", "123",
	strings.Repeat("\x00", 21), strings.Repeat("9", 20) + "\n",
	"00009223372036854775808\n", "0000000000000000000\n", "000000000000000000001\n", "00000000000000000007", "0000000000000000000x\n",
	"-0000000000000000001\n", "00000000000000000001 ", "00000000000000000001\r\n",
	"00000000000000000001\nmade exclusiv \n", "00000000000000000001\ntaken exclusive\n", "00000000000000000001\nmade exclusive",
	"00000000000000000000\n", "00000000000000000001\n", // too low, but numbers
}

func TestFileCorruptSeq(t *testing.T) {
	for _, seq := range corruptSeqs {
		t.Run(fmt.Sprintf("%.24q", seq), func(t *testing.T) {
			f := newFileFixture(t)
			a, b := f.register(), f.register()
			f.writeSeq(seq)
			c := f.register()
			if c.Number <= b.Number || c.Ahead != 2 {
				t.Errorf("got %+v, want a higher number than %d and 2 ahead", c, b.Number)
			}
			if content := f.readSeq(); content != fmt.Sprintf("%020d\nmade exclusive\n", c.Number) {
				t.Errorf("seq is %.30q, want it repaired", content)
			}
			f.wantHead(a, true)
			f.wantPosition(b, 1)
			f.release(a)
			f.wantHead(b, true)
			f.release(b)
			f.wantHead(c, true)
			f.release(c)
			f.wantNoDirectory()

			f.mkdir() // by hand, so that it stays
			f.writeSeq(seq)
			d := f.register()
			if d.Number <= c.Number || d.Ahead != 0 {
				t.Errorf("in an empty directory: got %+v, want a higher number than %d and 0 ahead", d, c.Number)
			}
			f.release(d)
		})
	}
}

// Another program removes seq while tickets are in line.
func TestFileSeqRemoved(t *testing.T) {
	f := newFileFixture(t)
	a := f.register()
	w := f.hold()
	f.must("Remove seq", os.Remove(f.path("seq")))
	b := f.register()
	if b.Number <= a.Number || b.Ahead != 2 {
		t.Errorf("got %+v, want a higher number than %d and 2 ahead", b, a.Number)
	}
	f.release(a)
	w.await("head")
	f.wantPosition(b, 1)
	w.release()
	f.awaitPosition(b, 0)
	f.release(b)
	f.wantNoDirectory()
}

// The process has seq open, and another program moves it away: the path leads to nothing.
func TestFileOpenSeqMovedAway(t *testing.T) {
	f := newFileFixture(t)
	a := f.register()
	f.must("Rename seq", os.Rename(f.path("seq"), f.dir+".away"))
	b := f.register()
	if b.Number <= a.Number || b.Ahead != 1 {
		t.Errorf("got %+v, want a higher number than %d and 1 ahead", b, a.Number)
	}
	f.release(a)
	f.wantPosition(b, 0)
	f.release(b)
	f.wantNoDirectory()
}

// A file that is longer than any seq is a user's, and is kept.
func TestFileHugeSparseSeq(t *testing.T) {
	f := newFileFixture(t)
	f.mkdir()
	f.writeSeq("00000000000000000001\n")
	f.must("Truncate", os.Truncate(f.path("seq"), 1<<30))
	var notOurs *lockedfile.NotOursError
	if _, err := f.q.Register(t.Context()); !errors.As(err, &notOurs) {
		t.Errorf("Register: %v, want an error that says that seq is too long", err)
	}
	if info, err := os.Stat(f.path("seq")); err != nil || info.Size() != 1<<30 {
		t.Errorf("seq is %v, %v, want it untouched", info, err)
	}
}

// A seq that is ahead of the clock keeps the numbers from going back, so it
// must survive a cleanup.
func TestFileSeqAheadOfTheClock(t *testing.T) {
	f := newFileFixture(t)
	f.mkdir()
	f.writeSeq("00009000000000000000\n")
	for want := int64(9000000000000001); want < 9000000000000004; want++ {
		ticket := f.register()
		if ticket.Number != want {
			t.Errorf("got number %d, want %d", ticket.Number, want)
		}
		f.release(ticket)
	}
}

func TestFileNumbersUsedUp(t *testing.T) {
	f := newFileFixture(t)
	f.mkdir()
	f.writeSeq(fmt.Sprintf("%020d\n", int64(1)<<53-1))
	_, err := f.q.Register(t.Context())
	if err == nil || !strings.Contains(err.Error(), "used up") || !strings.Contains(err.Error(), strconv.Quote(f.dir)) {
		t.Fatalf("Register: %v, want an error that says that the numbers of %s are used up", err, f.dir)
	}
	f.wantNoTickets()
}

const (
	planted     = "00000000000000000000.1.0123456789abcdef0123456789abcdef"
	plantedHigh = "00001000000000000000.1.0123456789abcdef0123456789abcdef"
)

func TestFileForeignFilesAreKept(t *testing.T) {
	f := newFileFixture(t)
	f.mkdir()
	foreign := []string{
		".DS_Store", "seq~", "seq.bak", ".nfs0001", "core", "5.1.x",
		"0000000000000000000A.1.0123456789abcdef0123456789abcdef",
		"0000000000000000000.1.0123456789abcdef0123456789abcdef",
		"000000000000000000000.1.0123456789abcdef0123456789abcdef",
		"-0000000000000000001.1.0123456789abcdef0123456789abcdef",
		"99999999999999999999.1.0123456789abcdef0123456789abcdef",
		"00000000000000000001.1.0123456789ABCDEF0123456789ABCDEF",
		"00000000000000000001.1.0123456789abcdef0123456789abcde",
		"00000000000000000001..0123456789abcdef0123456789abcdef",
		"00000000000000000001.0.0123456789abcdef0123456789abcdef",
		"00000000000000000001.x.0123456789abcdef0123456789abcdef",
		"00000000000000000001.1", "00000000000000000001",
		"00000000000000000001.1.0123456789abcdef0123456789abcdef\n",
		"\xff\xfe", strings.Repeat("x", 255),
	}
	for _, name := range foreign {
		if runtime.GOOS == "windows" && name[len(name)-1] == '\n' {
			continue // no name there
		}
		f.write(name, "foreign")
	}
	f.must("Mkdir", os.Mkdir(f.path("lost+found"), 0o700))
	before := f.names()

	a, b := f.register(), f.register()
	if a.Ahead != 0 || b.Ahead != 1 {
		t.Errorf("%d and %d ahead, want 0 and 1", a.Ahead, b.Ahead)
	}
	f.release(a)
	f.wantHead(b, true)
	f.must("CleanupStale", f.q.CleanupStale(t.Context()))
	f.release(b)
	f.wantEmpty(true)
	f.q.MaybeCleanup(t.Context())
	if after := f.names(); !slices.Equal(before, after) {
		t.Errorf("the directory has %q, want %q", after, before)
	}
	f.release(f.register())
}

// What a process has left that was killed as it made a file goes also where the directory
// stays, because it was there before, or because there is something in it.
func TestFileLeavingsGo(t *testing.T) {
	const left, kept = "new.0123456789abcdef0123456789abcdef", "new.0123456789abcdef0123456789abcde"
	there, made := newFileFixture(t), newFileFixture(t)
	there.mkdir()
	there.write(left, "")
	there.release(there.register())
	there.wantNothingInDirectory()

	ticket := made.register()
	made.write(left, "")
	made.write(kept, "foreign")
	made.release(ticket)
	if names := made.names(); !slices.Equal(names, []string{kept, "seq"}) {
		t.Errorf("the directory has %q, want what is foreign, and seq", names)
	}
}

// A perfectly named ticket is a dead one if no process holds its lock, however recent it
// looks.
func TestFilePlantedTicketIsDead(t *testing.T) {
	for _, name := range []string{planted, plantedHigh} {
		f := newFileFixture(t)
		f.mkdir()
		f.write(name, "")
		f.wantEmpty(false)
		ticket := f.register()
		if ticket.Ahead != 0 {
			t.Errorf("%d ahead of the ticket, want 0", ticket.Ahead)
		}
		f.release(ticket)
		f.wantNothingInDirectory()

		f.write(name, "")
		f.must("CleanupStale", f.q.CleanupStale(t.Context()))
		f.wantEmpty(true)
		f.q.MaybeCleanup(t.Context())
		f.wantNothingInDirectory()

		f.write(name, "")
		if ticket, ok, err := f.q.TryRegister(t.Context()); err != nil || !ok {
			t.Errorf("TryRegister is %v, %v, want a ticket", ok, err)
		} else {
			f.release(ticket)
		}
	}
}

func TestFileTwoValuesAreOneQueue(t *testing.T) {
	testenv.Long(t) // go test caches nothing where a test changes its directory
	f := newFileFixture(t)
	f.mkdir()
	link := filepath.Join(t.TempDir(), "link")
	f.must("Symlink", os.Symlink(f.dir, link))
	t.Chdir(filepath.Dir(f.dir))
	paths := []string{f.dir, f.dir + "/", f.dir + "/../queue/.", "queue", link}
	if underWine() {
		paths = paths[:len(paths)-1] // Wine 8 makes something else of the link
	}
	for _, path := range paths {
		f.mkdir()
		other := filequeue.New(path)
		a := f.register()
		b, err := other.Register(t.Context())
		f.must("Register", err)
		if b.Number <= a.Number || b.Ahead != 1 {
			t.Errorf("by %s: got %+v, want a higher number than %d and 1 ahead", path, b, a.Number)
		}
		f.must("CleanupStale", other.CleanupStale(t.Context()))
		if place, err := other.Position(t.Context(), b); err != nil || place.Ahead != 1 {
			t.Errorf("by %s: Position is %d, %v, want 1", path, place.Ahead, err)
		}
		f.wantHead(a, true)
		f.release(a)
		if place, err := other.Position(t.Context(), b); err != nil || place.Ahead != 0 {
			t.Errorf("by %s: Position is %d, %v, want 0", path, place.Ahead, err)
		}
		f.must("Release", other.Release(t.Context(), b))
		f.wantEmpty(true)
	}
}

// A relative path stays where it was, whatever os.Chdir does later.
func TestFileChdir(t *testing.T) {
	testenv.Long(t) // go test caches nothing where a test changes its directory
	t.Chdir(t.TempDir())
	q := filequeue.New("queue")
	a, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if head, err := q.IsHead(t.Context(), a); err != nil || !head {
		t.Errorf("IsHead is %v, %v, want true", head, err)
	}
	if err := q.Release(t.Context(), a); err != nil {
		t.Error(err)
	}
}

// There are never more than may own, and all are served; one at a time, in order.
func TestFileGoroutines(t *testing.T) {
	testenv.Long(t)
	f := newFileFixture(t)
	f.contend(1, 100, 5)
	f.shared(3).contend(3, 20, 10)
}

// contend has many goroutines own, each several times, of which n may at a time.
func (f *fileFixture) contend(n, goroutines, rounds int) {
	f.Helper()
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		inside int
		last   int64
	)
	change := func(by int, number int64) {
		mu.Lock()
		defer mu.Unlock()
		if inside += by; inside > n {
			f.Errorf("%d own, want at most %d", inside, n)
		}
		if n == 1 && number < last {
			f.Errorf("ticket %d was served after %d", number, last)
		}
		last = number
	}
	for range goroutines {
		group.Go(func() {
			for range rounds {
				ticket, err := f.queue().Register(f.Context())
				if err == nil {
					err = awaitHead(f.Context(), f.queue(), ticket)
				}
				if err != nil {
					f.Error(err)
					return
				}
				change(1, ticket.Number)
				time.Sleep(10 * time.Microsecond)
				change(-1, ticket.Number)
				if err := queue.Release(f.Context(), f.queue(), ticket); err != nil {
					f.Error(err)
				}
			}
		})
	}
	group.Wait()
	f.wantNoDirectory()
}

func TestFileBadArguments(t *testing.T) {
	dir := t.TempDir()
	for name, q := range map[string]*filequeue.Queue{
		"empty":                 filequeue.New(""),
		"NUL":                   filequeue.New(dir + "/a\x00b"),
		"~":                     filequeue.New("~/report"),
		"stale timeout -1ns":    filequeue.New(dir+"/q", filequeue.WithStaleTimeout(-1)),
		"stale timeout 0s":      filequeue.New(dir+"/q", filequeue.WithStaleTimeout(0)),
		"stale timeout 9.99999": filequeue.New(dir+"/q", filequeue.WithStaleTimeout(10*time.Millisecond-1)),
		"file mode 0":           filequeue.New(dir+"/q", filequeue.WithFileMode(0)),
		"file mode 0o1666":      filequeue.New(dir+"/q", filequeue.WithFileMode(0o666|os.ModeSticky)),
		"file mode 0o466":       filequeue.New(dir+"/q", filequeue.WithFileMode(0o466)),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, ticket := t.Context(), queue.Ticket{Number: 1, Member: planted}
			word := strings.Fields(name)[0]
			for _, err := range fileErrors(ctx, q, ticket) {
				if err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "file queue") {
					t.Errorf("got %v, want an error about the %s of the file queue", err, word)
				}
			}
			q.MaybeCleanup(ctx)
		})
	}
}

// fileErrors calls everything that returns an error.
func fileErrors(ctx context.Context, q *filequeue.Queue, t queue.Ticket) []error {
	_, register := q.Register(ctx)
	_, _, try := q.TryRegister(ctx)
	_, head := q.IsHead(ctx, t)
	_, position := q.Position(ctx, t)
	_, empty := q.IsEmpty(ctx)
	_, members := q.Members(ctx)
	_, _, watch := q.Watch(ctx, t)
	return []error{
		register, try, head, position, empty, members, watch,
		q.Remove(ctx, t), q.Release(ctx, t), q.Refresh(ctx, t), q.CleanupStale(ctx),
	}
}

func TestFileDoneContext(t *testing.T) {
	f := newFileFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range fileErrors(ctx, f.q, queue.Ticket{Number: 1, Member: planted}) {
		leaves := strings.Contains(err.Error(), ": remove ticket ") || strings.Contains(err.Error(), ": release ")
		if leaves && !errors.Is(err, queue.ErrNotQueued) {
			t.Errorf("got %v, want ErrNotQueued", err)
		}
		if !leaves && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	}
	f.wantNoDirectory()
}

// The process was stopped for longer than its release timeout when it was about to leave
// the line. The ticket must go all the same: no call tries again, and every waiter would
// wait for it until the process ends.
func TestFileLeavesWithDoneContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := newFileFixture(t)
	f.must("Release", f.q.Release(ctx, f.register()))
	f.wantNoDirectory()
	f.must("Remove", f.q.Remove(ctx, f.register()))
	f.wantNoTickets()
	f.q.MaybeCleanup(t.Context())
	f.wantNoDirectory()
}

func TestFileString(t *testing.T) {
	dir := t.TempDir()
	if s := filequeue.New(dir + "/").String(); s != fmt.Sprintf("file queue %q", dir) {
		t.Errorf("got %q", s)
	}
}

func TestFileMembers(t *testing.T) {
	filequeue.SkipOnWindows(t, "there is no eviction by age")
	f := newFileFixture(t, filequeue.WithStaleTimeout(time.Hour))
	if list, err := f.q.Members(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("Members of nothing are %v, %v", list, err)
	}
	before := time.Now().Add(-time.Minute)
	own := f.register()
	w := f.hold()
	dead := f.hold()
	dead.kill()
	list, err := f.q.Members(t.Context())
	f.must("Members", err)
	if len(list) != 3 {
		t.Fatalf("got %v, want 3 members", list)
	}
	for i, m := range list {
		if m.Ticket.Ahead != i || m.Since.Before(before) || m.Since.After(time.Now()) {
			t.Errorf("got %+v, want %d ahead, and a recent time", m, i)
		}
		if m.Dead != (i == 2) {
			t.Errorf("member %d is dead: %v", i, m.Dead)
		}
	}
	if list[0].PID != os.Getpid() || list[1].PID != w.cmd.Process.Pid {
		t.Errorf("pids are %d and %d", list[0].PID, list[1].PID)
	}
	if list[0].Ticket != own || list[0].LastSeen.IsZero() || !list[1].LastSeen.IsZero() {
		t.Errorf("got %+v and %+v, want a last sign of life from the first alone", list[0], list[1])
	}
	w.kill()
	f.release(own)
	f.wantNoDirectory()
}
