package filequeue

import (
	"context"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// doorOf is the door of a process of its own.
func doorOf(t *testing.T, path string) (*door, *lockedfile.Dir) {
	t.Helper()
	dir, err := lockedfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.Close)
	return new(door), dir
}

// enterSoon calls enter, and returns when the call waits as the n'th.
func enterSoon(t *testing.T, o *door, n int) (entered <-chan struct{}) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		mustEnter(t, o)
	}()
	for o.waits() < n {
		time.Sleep(time.Millisecond)
	}
	return done
}

func wantFirst(t *testing.T, o *door, dir *lockedfile.Dir, want bool) {
	t.Helper()
	if first, _ := o.isFirst(dir); first != want {
		t.Errorf("a call is the first: %v, want %v", first, want)
	}
}

// Calls of three processes, in this order: A, B, A again, C. A process stands for the
// first of its calls, from before the one in front of it leaves.
func TestFileDoorIsInOrderOfTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir()
		a, dirA := doorOf(t, path)
		b, dirB := doorOf(t, path)
		c, dirC := doorOf(t, path)
		mustEnter(t, a)
		a.stand(dirA)
		mustEnter(t, b)
		b.stand(dirB)
		again := enterSoon(t, a, 1)
		mustEnter(t, c)
		wantFirst(t, a, dirA, true)
		wantFirst(t, b, dirB, false)
		a.leave(dirA, func() { wantFirst(t, c, dirC, false) })
		<-again
		wantFirst(t, b, dirB, true)
		wantFirst(t, a, dirA, false)
		b.leave(dirB, func() { wantFirst(t, c, dirC, false) })
		wantFirst(t, a, dirA, true)
		wantFirst(t, c, dirC, false)
		a.leave(dirA, noSeq)
		wantFirst(t, c, dirC, true)
		c.leave(dirC, noSeq)
	})
}

// The clock was set back by an hour, while a call of A waited for another one. It comes in
// before a call of B that comes after that.
func TestFileDoorWhenTheClockIsSetBack(t *testing.T) {
	path := t.TempDir()
	a, dirA := doorOf(t, path)
	b, dirB := doorOf(t, path)
	mustEnter(t, a)
	a.waiting = append(a.waiting, &visit{called: time.Now().Add(time.Hour).UnixNano(), turn: make(chan struct{})})
	a.leave(dirA, noSeq)
	mustEnter(t, b)
	b.stand(dirB)
	wantFirst(t, a, dirA, true)
	wantFirst(t, b, dirB, false)
}

// A call has come nearer once when the one in front has left: its poll grows longer then.
func TestFileDoorComesNearerOnce(t *testing.T) {
	path := t.TempDir()
	a, dirA := doorOf(t, path)
	b, dirB := doorOf(t, path)
	mustEnter(t, a)
	a.stand(dirA)
	mustEnter(t, b)
	wantFirst(t, b, dirB, false)
	a.leave(dirA, noSeq)
	for _, want := range []bool{true, false} {
		if first, nearer := b.isFirst(dirB); !first || nearer != want {
			t.Errorf("first: %v, nearer: %v; want that it is the first, and nearer: %v", first, nearer, want)
		}
	}
}

// A call ends at the moment in which it comes in: it comes in or it does not, and the
// next one can.
func TestFileDoorCallEndsAsItComesIn(t *testing.T) {
	o, dir := doorOf(t, t.TempDir())
	for range 1000 {
		mustEnter(t, o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- o.enter(ctx, noLimit, nil) }()
		for o.waits() == 0 {
			time.Sleep(time.Microsecond)
		}
		go cancel()
		o.leave(dir, noSeq)
		if err := <-ended; err == nil {
			o.leave(dir, noSeq)
		}
		if err := o.enter(t.Context(), notAtAll, nil); err != nil {
			t.Fatal(err)
		}
		o.leave(dir, noSeq)
	}
}

// awaitFirst returns when the one in front, which stands still, was passed.
func awaitFirst(t *testing.T, o *door, dir *lockedfile.Dir) {
	t.Helper()
	if took := becomesFirst(o, dir, func() {}); took > longestPolite/2 {
		t.Fatal("what stands still is not passed")
	}
}

// A process is stopped as it moves its place, and has two, side by side: the kernel makes
// one lock of them.
func TestFileDoorPassesWhatStandsOnTwoPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir()
		a, dirA := doorOf(t, path)
		b, dirB := doorOf(t, path)
		mustEnter(t, a)
		a.stand(dirA)
		dirA.TakePlace(a.place + 1)
		mustEnter(t, b)
		wantFirst(t, b, dirB, false)
		awaitFirst(t, b, dirB)
	})
}

// Another program has a lock on the whole directory, or on much of it.
func TestFileDoorBesideALockOfAnotherProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, length := range []int64{0, time.Now().UnixNano() / 2, time.Now().UnixNano() * 2} {
			path := t.TempDir()
			other, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if err := unix.FcntlFlock(other.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Len: length}); err != nil {
				t.Fatal(err)
			}
			a, dirA := doorOf(t, path)
			b, dirB := doorOf(t, path)
			mustEnter(t, a)
			a.stand(dirA)
			mustEnter(t, b)
			awaitFirst(t, a, dirA)
			awaitFirst(t, b, dirB)
		}
	})
}

// becomesFirst is how long a call stands at the door that looks every millisecond.
func becomesFirst(o *door, dir *lockedfile.Dir, look func()) time.Duration {
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		look()
		if first, _ := o.isFirst(dir); first {
			return time.Since(begun)
		}
	}
}

// Many processes are stopped at once, as those of a container are: they hold up a call no
// longer than a few do.
func TestFileDoorPassesManyAtOnce(t *testing.T) {
	for _, n := range []int{2, mostPassed - 1, 2 * mostPassed} {
		path := t.TempDir()
		for range n {
			o, dir := doorOf(t, path)
			mustEnter(t, o)
			o.stand(dir)
		}
		o, dir := doorOf(t, path)
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Unix(1<<33, 0))) // later than all of them
			mustEnter(t, o)
			if took := becomesFirst(o, dir, func() {}); took > 3*longestStill {
				t.Errorf("a call behind %d that stand still is the first after %v", n, took)
			}
		})
	}
}

// Another program always has a new place before the call.
func TestFileDoorIsForACallInTheEnd(t *testing.T) {
	path := t.TempDir()
	_, other := doorOf(t, path)
	o, dir := doorOf(t, path)
	synctest.Test(t, func(t *testing.T) {
		mustEnter(t, o)
		at := int64(0)
		took := becomesFirst(o, dir, func() {
			other.LeavePlace(at)
			at += 2 * longestStep
			other.TakePlace(at)
		})
		if took > longestPolite+time.Second {
			t.Errorf("it is the first after %v", took)
		}
	})
}

// Where a call of another process stands at the door, only those get their tickets with the
// first that came before that call.
func TestFileRegisterTogetherInOrderWithOthers(t *testing.T) {
	g := newGathering(t)
	_, other := doorOf(t, g.q.settings.path)
	first, second := g.register(t.Context(), g.q), g.register(t.Context(), g.q)
	place := time.Now().UnixNano()
	other.TakePlace(place)
	time.Sleep(time.Microsecond)
	third := g.register(t.Context(), g.q)
	visits := slices.Clone(g.d.seq.door.waiting)
	g.open()
	tickets := []queue.Ticket{g.want(first), g.want(second)}
	other.LeavePlace(place)
	tickets = append(tickets, g.want(third))
	for i, want := range []bool{false, true, false} {
		if served := visits[i].r.served; served != want {
			t.Errorf("call %d has its ticket from another one: %v, want %v", i+1, served, want)
		}
	}
	g.release(tickets...)
}
