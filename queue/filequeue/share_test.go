package filequeue_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

// The view in which the first one owns is a queue as the queue itself is.
func TestFileConformanceShared(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return filequeue.New(t.TempDir() + "/queue").Share(1)
	})
}

// shared is a view of the fixture's queue in which n own.
func (f *fileFixture) shared(n int) *fileFixture {
	return &fileFixture{T: f.T, dir: f.dir, q: f.q, view: f.q.Share(n)}
}

// byAnotherPath is the fixture's queue as another process sees it, which knows of its
// tickets by their files alone.
func (f *fileFixture) byAnotherPath() *fileFixture {
	f.Helper()
	link := filepath.Join(f.TempDir(), "link")
	f.must("Symlink", os.Symlink(filepath.Dir(f.dir), link))
	dir := filepath.Join(link, filepath.Base(f.dir))
	return &fileFixture{T: f.T, dir: dir, q: filequeue.New(dir)}
}

func TestFileShare(t *testing.T) {
	f := newFileFixture(t).shared(2)
	a, b, c, d := f.register(), f.register(), f.register(), f.register()
	for i, ticket := range []queue.Ticket{a, b, c, d} {
		if want := max(0, i-1); ticket.Ahead != want {
			t.Errorf("%d ahead of ticket %d in line, want %d", ticket.Ahead, i, want)
		}
		f.wantHead(ticket, i < 2)
		f.wantPosition(ticket, max(0, i-1))
	}
	wakeC, wakeD := f.watch(c), f.watch(d)
	f.release(b) // one that owns, but not the first
	if w := <-wakeC; w != queue.WakeOwner {
		t.Errorf("the next is told %v, want WakeOwner", w)
	}
	f.wantHead(a, true)
	f.wantHead(c, true)
	f.awaitWoken(d, wakeD, 1) // it is the first to wait now, and watches both
	f.release(a)
	f.awaitWoken(d, wakeD, 0)
	if _, ok, err := queue.TryRegister(t.Context(), f.view); ok || err != nil {
		t.Errorf("TryRegister with two that own is %v, %v, want false", ok, err)
	}
	f.release(c)
	e, ok, err := queue.TryRegister(t.Context(), f.view)
	if !ok || err != nil {
		t.Errorf("TryRegister with one that owns is %v, %v, want true", ok, err)
	}
	f.release(d)
	f.release(e)
	f.wantNoDirectory()
}

// Views with different n work side by side: each admits by its own.
func TestFileShareDifferent(t *testing.T) {
	f := newFileFixture(t)
	one, three := f.shared(1), f.shared(3)
	a := one.register()
	b := three.register()
	c := one.register()
	one.wantHead(a, true)
	three.wantHead(b, true)
	one.wantPosition(c, 2)
	wake := one.watch(c)
	one.release(a)
	one.wantPosition(c, 1)
	three.release(b)
	one.awaitWoken(c, wake, 0)
	one.release(c)
	f.wantNoDirectory()
}

// An owner of another process dies, and not the first of them.
func TestFileShareKilledInTheMiddle(t *testing.T) {
	f := newFileFixture(t).shared(3)
	workers := []*worker{f.holdShared(3), f.holdShared(3), f.holdShared(3)}
	waiting, behind := f.register(), f.register()
	if waiting.Ahead != 1 || behind.Ahead != 2 {
		t.Errorf("%d and %d ahead, want 1 and 2", waiting.Ahead, behind.Ahead)
	}
	wake, wakeBehind := f.watch(waiting), f.watch(behind)
	workers[1].kill()
	f.awaitWoken(waiting, wake, 0)
	f.wantPosition(behind, 1)
	workers[0].release() // the first to wait is told by any of those that own
	f.awaitWoken(behind, wakeBehind, 0)
	f.release(waiting)
	f.release(behind)
	workers[2].release()
}

// Several die at once, and as many are served.
func TestFileShareSeveralKilled(t *testing.T) {
	f := newFileFixture(t).shared(2)
	workers := []*worker{f.holdShared(2), f.holdShared(2)}
	a, b := f.register(), f.register()
	wakeA, wakeB := f.watch(a), f.watch(b)
	for _, w := range workers {
		w.kill()
	}
	f.awaitWoken(a, wakeA, 0)
	f.awaitWoken(b, wakeB, 0)
	f.release(a)
	f.release(b)
	f.wantNoDirectory()
}

// The first to wait is busy, with a hook say, and does not look. Those behind do not depend
// on it.
func TestFileShareFirstIsBusy(t *testing.T) {
	for name, end := range map[string]func(*worker){"released": (*worker).release, "killed": func(w *worker) { w.kill() }} {
		t.Run(name, func(t *testing.T) {
			f := newFileFixture(t).shared(2)
			workers := []*worker{f.holdShared(2), f.holdShared(2)}
			busy, behind := f.register(), f.register()
			f.watch(busy)
			wake := f.watch(behind)
			for _, w := range workers {
				end(w)
			}
			f.awaitWoken(behind, wake, 0)
			f.release(busy)
			f.release(behind)
			f.wantNoDirectory()
		})
	}
}

// The dead do not count, wherever they stand.
func TestFileShareDeadDoNotCount(t *testing.T) {
	f := newFileFixture(t).shared(2)
	a := f.register()
	f.holdShared(2).kill()
	b, ok, err := queue.TryRegister(t.Context(), f.view)
	if !ok || err != nil || b.Ahead != 0 {
		t.Errorf("TryRegister behind a dead one is %+v, %v, %v, want an owner", b, ok, err)
	}
	f.release(b)
	f.holdShared(2).kill()
	if b = f.register(); b.Ahead != 0 {
		t.Errorf("%d ahead behind a dead one, want an owner", b.Ahead)
	}
	f.release(a)
	f.release(b)
	f.wantNoDirectory()
}

// Several die in a line with different n: it is noticed for each n, not only for that of
// the first that waits.
func TestFileShareDifferentKilled(t *testing.T) {
	f := newFileFixture(t)
	one, three := f.shared(1), f.shared(3)
	workers := []*worker{three.holdShared(3), three.holdShared(3), three.holdShared(3)}
	narrow, wide := one.register(), three.register()
	wakeNarrow, wakeWide := one.watch(narrow), three.watch(wide)
	workers[1].kill()
	workers[2].kill()
	three.awaitWoken(wide, wakeWide, 0)
	workers[0].kill()
	one.awaitWoken(narrow, wakeNarrow, 0)
	one.release(narrow)
	three.release(wide)
	f.wantNoDirectory()
}

// holdShared starts a worker that stands in line in a view in which n own.
func (f *fileFixture) holdShared(n int) *worker {
	f.Helper()
	return f.hold(fmt.Sprint("FIFOLOCK_SHARE=", n))
}

// holdKind is holdShared, or hold if n is 0.
func (f *fileFixture) holdKind(n int) *worker {
	f.Helper()
	if n > 0 {
		return f.holdShared(n)
	}
	return f.hold()
}

// A line has a kind as long as there are tickets in it.
func TestFileShareKinds(t *testing.T) {
	f := newFileFixture(t)
	for _, c := range []struct{ holds, comes *fileFixture }{{f, f.shared(2)}, {f.shared(2), f}} {
		held := c.holds.register()
		_, err := c.comes.queue().Register(t.Context())
		_, _, tryErr := queue.TryRegister(t.Context(), c.comes.queue())
		for _, err := range []error{err, tryErr} {
			if err == nil {
				continue // TryRegister that finds the line taken need not know of the kind
			}
			for _, word := range []string{"Mutex (exclusive)", "Semaphore (shared)", "cannot join"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("got %v, want an error that says %q", err, word)
				}
			}
		}
		if err == nil {
			t.Error("Register joined a line of the other kind")
		}
		c.holds.wantHead(held, true)
		c.holds.release(held)
	}
	f.wantNoDirectory()
}

// Of what kind a line is the tickets say, whatever becomes of seq: there is never a
// Semaphore's holder beside a Mutex's.
func TestFileShareKindWhateverSeqSays(t *testing.T) {
	filequeue.SkipOnWindows(t, "what is open cannot be removed")
	for what, spoil := range map[string]func(f *fileFixture, other string){
		"removed":  func(f *fileFixture, _ string) { f.must("Remove", os.Remove(f.path("seq"))) },
		"damaged":  func(f *fileFixture, _ string) { f.writeSeq("nothing\n") },
		"restored": func(f *fileFixture, other string) { f.writeSeq(other) },
	} {
		for _, remote := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, remote: %v", what, remote), func(t *testing.T) {
				f := newFileFixture(t)
				for _, c := range []struct{ holds, comes *fileFixture }{{f, f.shared(2)}, {f.shared(2), f}} {
					other := c.comes.register()
					said := f.readSeq() // of the other kind
					c.comes.release(other)
					var release func()
					if remote {
						n := 0
						if c.holds.view != nil {
							n = 2
						}
						release = c.holds.holdKind(n).release
					} else {
						held := c.holds.register()
						release = func() { c.holds.release(held) }
					}
					spoil(f, said)
					for range 2 {
						ticket, err := c.comes.queue().Register(t.Context())
						if err == nil || !strings.Contains(err.Error(), "cannot join") {
							t.Errorf("Register of the other kind: %+v, %v, want it refused", ticket, err)
						}
						if ticket, ok, err := queue.TryRegister(t.Context(), c.comes.queue()); ok {
							t.Errorf("TryRegister of the other kind: %+v, %v, want it refused", ticket, err)
						}
					}
					again := c.holds.register()
					release()
					c.holds.release(again)
				}
			})
		}
	}
}

func TestFileShareBadNumber(t *testing.T) {
	for _, n := range []int{0, -1} {
		if _, err := newFileFixture(t).q.Share(n).Register(t.Context()); err == nil || !strings.Contains(err.Error(), "give 1 or more") {
			t.Errorf("Share(%d): %v, want an error that says what to give", n, err)
		}
	}
}

func TestFileLabel(t *testing.T) {
	f := newFileFixture(t, filequeue.WithLabel("deploy 42: ä"))
	held := f.register()
	plain := filequeue.New(f.dir)
	next, err := plain.Register(t.Context())
	f.must("Register", err)
	members, err := plain.Members(t.Context())
	f.must("Members", err)
	if members[0].Label != "deploy 42: ä" || members[1].Label != "" || members[0].Host != "" || members[0].Ticket.Lease != 0 {
		t.Errorf("got %+v", members)
	}
	f.release(held)
	f.must("Release", plain.Release(t.Context(), next))
	f.wantNoDirectory()

	if _, err := filequeue.New(f.dir, filequeue.WithLabel("a\nb")).Register(t.Context()); err == nil || !strings.Contains(err.Error(), "label") {
		t.Errorf("a label of two lines: %v, want it refused", err)
	}
}

// A Queue that was not made by New says so.
func TestFileZeroValue(t *testing.T) {
	for _, err := range fileErrors(t.Context(), &filequeue.Queue{}, queue.Ticket{Number: 1, Member: planted}) {
		var e *queue.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "not made by New") {
			t.Errorf("got %v, want a *queue.Error that says that it was not made by New", err)
		}
	}
	if _, err := (&filequeue.Queue{}).Share(2).Register(t.Context()); err == nil || !strings.Contains(err.Error(), "not made by New") {
		t.Errorf("a view of it: %v", err)
	}
	(&filequeue.Queue{}).MaybeCleanup(t.Context())
}

// One that has come to own touches its ticket, to tell the next that it is the first to
// wait. That is no sign of life: its stale timeout goes on.
func TestFileShareAnnouncementIsNoSignOfLife(t *testing.T) {
	filequeue.SkipOnWindows(t, "there is no stale timeout")
	f := newFileFixture(t, filequeue.WithStaleTimeout(time.Hour)).shared(2)
	first, second := f.holdShared(2), f.holdShared(2)
	own := f.register()
	f.watch(own)
	f.wantPosition(own, 1)
	third := f.holdShared(2)
	seen := time.Now().Add(-time.Minute).Truncate(time.Second)
	f.must("Chtimes", os.Chtimes(f.path(own.Member), time.Time{}, seen))
	first.release()
	f.awaitPosition(own, 0)
	if info, err := os.Stat(f.path(own.Member)); err != nil || !info.ModTime().Equal(seen) {
		t.Errorf("the ticket was seen last at %v, %v; want %v", info.ModTime(), err, seen)
	}
	f.release(own)
	second.release()
	third.release()
	f.wantNoDirectory()
}

// A listing finds dead ones again in front of those that own, as it does where they could
// not be removed, and nothing judges them: it was made for a view of fewer. Those that own
// go on owning, also while they are listened for. None of them is taken for the first that
// waits: that one judges the dead, and has one ahead.
func TestFileShareOwnersBehindTheDead(t *testing.T) {
	f := newFileFixture(t)
	other, four := f.byAnotherPath().shared(4), f.shared(4)
	first := other.register() // as of another process
	passing := []queue.Ticket{other.register(), other.register()}
	owners := []queue.Ticket{four.register(), four.register(), four.register()}
	waiting := four.register()
	for _, ticket := range passing {
		other.release(ticket)
	}
	var wakes []<-chan queue.Wake
	for _, ticket := range owners {
		four.wantPosition(ticket, 0)
		wakes = append(wakes, f.watch(ticket))
	}
	f.watch(waiting)
	for i, ticket := range passing {
		f.write(fmt.Sprintf("%020d.1.%032x", ticket.Number, i), "")
	}
	f.must("CleanupStale", f.shared(1).view.CleanupStale(t.Context()))
	for _, wake := range wakes { // they take what they were woken for
		select {
		case <-wake:
		default:
		}
	}
	for _, ticket := range owners {
		four.wantHead(ticket, true)
		four.wantPosition(ticket, 0)
	}
	four.wantPosition(waiting, 1)
	for _, ticket := range append(owners, waiting) {
		four.release(ticket)
	}
	other.release(first)
	f.wantNoDirectory()
}
