package filequeue_test

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// watch begins to listen for the ticket.
func (f *fileFixture) watch(t queue.Ticket) <-chan queue.Wake {
	f.Helper()
	wake, stop, err := queue.Watch(f.Context(), f.queue(), t)
	f.must("Watch", err)
	f.Cleanup(stop)
	return wake
}

// awaitWoken looks only when it is told to, until the position is as wanted.
func (f *fileFixture) awaitWoken(t queue.Ticket, wake <-chan queue.Wake, want int) {
	f.Helper()
	for {
		<-wake
		place, err := queue.Position(f.Context(), f.queue(), t)
		f.must("Position", err)
		if place.Ahead == want {
			return
		}
	}
}

func (f *fileFixture) wantSilence(wake <-chan queue.Wake) {
	f.Helper()
	select {
	case <-wake:
		f.Error("woken, though nothing has happened")
	default:
	}
}

func TestFileWatchInProcess(t *testing.T) {
	f := newFileFixture(t)
	a, b, c := f.register(), f.register(), f.register()
	wakeB, wakeC := f.watch(b), f.watch(c)
	f.wantSilence(wakeB)
	f.release(a)
	f.awaitWoken(b, wakeB, 0)
	f.wantSilence(wakeC) // one release wakes one waiter
	f.release(b)
	f.awaitWoken(c, wakeC, 0)
	f.release(c)
}

func TestFileWatchOtherProcess(t *testing.T) {
	f := newFileFixture(t)
	w := f.hold()
	next := f.register()
	wake := f.watch(next)
	f.wantSilence(wake)
	w.release()
	f.awaitWoken(next, wake, 0)
	f.release(next)
}

// 1. One process holds, another waits, then we do.
// 2. The other gives up: we are told, and now follow the holder.
// 3. The holder releases: we are told.
func TestFileWatchPredecessorGivesUp(t *testing.T) {
	f := newFileFixture(t)
	holder, waiter := f.hold(), f.hold()
	holder.await("head")
	last := f.register()
	wake := f.watch(last)
	f.wantSilence(wake)
	waiter.release()
	f.awaitWoken(last, wake, 1)
	holder.release()
	f.awaitWoken(last, wake, 0)
	f.release(last)
}

func TestFileWatchPredecessorGivesUpInProcess(t *testing.T) {
	f := newFileFixture(t)
	holder := f.hold()
	waiting, last := f.register(), f.register()
	wake := f.watch(last)
	f.remove(waiting)
	f.awaitWoken(last, wake, 1)
	holder.release()
	f.awaitWoken(last, wake, 0)
	f.release(last)
}

// 1. One process holds, another waits, then we do.
// 2. The holder releases, and the other becomes the head: we are told, because
// 3. only a waiter that knows to be the next looks often enough to notice that the new
// holder was killed.
func TestFileWatchPredecessorBecomesHead(t *testing.T) {
	if underWine() {
		t.Skip("Wine tells of a new time stamp as of attributes, which nobody asks for: run on Windows, which tells of a write")
	}
	f := newFileFixture(t)
	first, second := f.hold(), f.hold()
	last := f.register()
	wake := f.watch(last)
	first.await("head")
	first.release()
	second.await("head")
	f.awaitWoken(last, wake, 1)
	second.kill()
	f.wantPosition(last, 0)
	f.release(last)
}

// That others have left before the Watch is no news to one that still waits for one of its
// own process, which will wake it: it need not look.
func TestFileWatchBehindItsOwn(t *testing.T) {
	f := newFileFixture(t)
	a, b, c, d := f.register(), f.register(), f.register(), f.register()
	f.release(a)
	wake := f.watch(d)
	f.wantSilence(wake)
	f.release(b)
	f.release(c)
	if w := <-wake; w != queue.WakeOwner {
		t.Errorf("told %v, want WakeOwner", w)
	}
	f.release(d)
}

// The stop of an earlier Watch does not end a later one.
func TestFileStopOfAnEarlierWatch(t *testing.T) {
	f := newFileFixture(t)
	a, b := f.register(), f.register()
	_, stop, err := queue.Watch(f.Context(), f.queue(), b)
	f.must("Watch", err)
	wake := f.watch(b)
	stop()
	f.release(a)
	f.awaitWoken(b, wake, 0)
	f.release(b)
}

// What has happened between Register and Watch is not missed.
func TestFileWatchLate(t *testing.T) {
	f := newFileFixture(t)
	w := f.hold()
	next, last := f.register(), f.register()
	w.release()
	f.awaitWoken(next, f.watch(next), 0)
	f.release(next)
	f.awaitWoken(last, f.watch(last), 0)
	f.release(last)
	_, stop, err := f.q.Watch(t.Context(), last)
	f.wantNotQueued("Watch", err)
	stop()
}

// An evicted waiter is told to look, and finds out.
func TestFileWatchEvicted(t *testing.T) {
	filequeue.SkipOnWindows(t, "there is no eviction by age")
	f := newFileFixture(t, filequeue.WithStaleTimeout(time.Hour))
	held, waiting := f.register(), f.register()
	wake := f.watch(waiting)
	f.remove(waiting)
	<-wake
	_, err := f.q.Position(t.Context(), waiting)
	f.wantNotQueued("Position", err)
	f.release(held)
}

// A grant is for a place in line. A ticket has none if its file was removed, by a judge
// of another process or by hand.
func TestFileWatchNextIsGone(t *testing.T) {
	filequeue.SkipOnWindows(t, "what is open cannot be removed")
	f := newFileFixture(t)
	a, b := f.register(), f.register()
	wake := f.watch(b)
	f.must("Remove", os.Remove(f.path(b.Member)))
	f.release(a)
	if w := <-wake; w == queue.WakeOwner {
		t.Error("Granted to a ticket that is not in line")
	}
	_, err := f.q.Position(t.Context(), b)
	f.wantNotQueued("Position", err)
}

// In a directory that was moved away no ticket has a place, the next in line included.
func TestFileWatchDirectoryMoved(t *testing.T) {
	filequeue.SkipOnWindows(t, "a directory that is open cannot be moved")
	f := newFileFixture(t)
	a, b := f.register(), f.register()
	wake := f.watch(b)
	f.must("Rename", os.Rename(f.dir, f.dir+"-moved"))
	if err := f.q.Release(t.Context(), a); !errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("Release = %v, want ErrNotQueued", err)
	}
	if w := <-wake; w == queue.WakeOwner {
		t.Error("Granted in a directory that is not at its path")
	}
	if _, err := f.q.Position(t.Context(), b); !errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("Position = %v, want ErrNotQueued", err)
	}
}

// The first waiter of a process examines those in front, the others do not: the work does
// not grow with their number.
func TestFileOneWaiterOfAProcessLooks(t *testing.T) {
	f := newFileFixture(t)
	w := f.hold()
	first, second := f.register(), f.register()
	f.watch(first)
	f.watch(second)
	dead := f.names()[0]
	w.kill()
	f.wantPosition(second, 2)
	if !slices.Contains(f.names(), dead) {
		t.Error("the second waiter has looked for itself")
	}
	f.awaitPosition(first, 0)
	if slices.Contains(f.names(), dead) {
		t.Error("the dead one is left")
	}
	f.release(first)
	f.release(second)
}

// A release that gives the lock to a dead process finds that out: the next one owns when
// it returns.
func TestFileReleaseFindsTheNextDead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("not there: the release has the seq lock")
	}
	f := newFileFixture(t)
	first := f.register()
	w := f.hold()
	dead := f.names()[1]
	last := f.register()
	w.kill()
	f.release(first)
	if slices.Contains(f.names(), dead) {
		t.Error("the dead one is left")
	}
	f.wantHead(last, true)
	f.release(last)
}
