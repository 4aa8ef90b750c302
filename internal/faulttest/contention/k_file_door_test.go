//go:build linux

package contention

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
)

// door is the way to the lock on seq, of which the test has the lock.
type door struct {
	*testing.T
	*harness.Harness
	holder *harness.Process
	dir    *os.File
	seq    *os.File
}

// lockDoor locks seq, when the first in line holds the lock.
func lockDoor(t *testing.T) *door {
	d := &door{T: t, Harness: harness.New(t, faulttest.File(t))}
	d.holder = d.Start()
	d.holder.Lock().Granted()
	d.dir = d.open(d.Spec.Dir, os.O_RDONLY)
	d.seq = d.open(filepath.Join(d.Spec.Dir, "seq"), os.O_RDWR)
	d.lock()
	return d
}

func (d *door) open(path string, flag int) *os.File {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { f.Close() })
	return f
}

func (d *door) lock() {
	if err := unix.Flock(int(d.seq.Fd()), unix.LOCK_EX); err != nil {
		d.Fatal(err)
	}
}

func (d *door) unlock() {
	if err := unix.Flock(int(d.seq.Fd()), unix.LOCK_UN); err != nil {
		d.Fatal(err)
	}
}

// places are those that processes have at the door, in order. One that moves has two
// for a moment, which are no step apart.
func (d *door) places() (at []int64) {
	for from := int64(0); ; {
		lowest := unix.Flock_t{Type: unix.F_UNLCK}
		for before := int64(math.MaxInt64); ; before = lowest.Start {
			l := unix.Flock_t{Type: unix.F_WRLCK, Start: from, Len: before - from}
			if err := unix.FcntlFlock(d.dir.Fd(), unix.F_OFD_GETLK, &l); err != nil {
				d.Fatal(err)
			}
			if l.Type == unix.F_UNLCK {
				break
			}
			if lowest = l; l.Start == from {
				break
			}
		}
		if lowest.Type == unix.F_UNLCK {
			return at
		}
		at = append(at, lowest.Start)
		from = lowest.Start + int64(time.Microsecond)
	}
}

// awaitPlaces waits until so many stand at the door, and returns where.
func (d *door) awaitPlaces(n int) []int64 {
	for {
		if at := d.places(); len(at) == n {
			return at
		}
		time.Sleep(time.Millisecond)
	}
}

// served unlocks seq, waits for the calls, and reports whether they get their tickets in
// order.
func (d *door) served(calls ...*harness.Call) (inOrder bool) {
	d.Helper()
	d.unlock()
	last := int64(0)
	inOrder = true
	for i, c := range calls {
		ticket := c.Registered().Ticket
		if ticket < last {
			d.Logf("call %d has got ticket %d, the one before it %d", i, ticket, last)
			inOrder = false
		}
		last = ticket
	}
	return inOrder
}

// inTheEnd makes attempts at something that shows an order at the door. A process that
// has the processor taken away for a tenth of a second there is passed, with every right.
func inTheEnd(t *testing.T, attempt func(t *testing.T) (inOrder bool)) {
	t.Helper()
	for range 3 {
		if attempt(t) {
			return
		}
	}
	t.Error("however often it is tried, the tickets are given out of order")
}

// K50. Processes come to the door one after the other, and get their tickets in that
// order. One that is killed, or gives up, is out of it.
func TestK50InOrderAtTheDoor(t *testing.T) { inTheEnd(t, k50InOrderAtTheDoor) }

func k50InOrderAtTheDoor(t *testing.T) (inOrder bool) {
	d := lockDoor(t)
	workers := d.StartAll(8)
	var calls []*harness.Call
	for i, w := range workers {
		calls = append(calls, w.Lock())
		d.awaitPlaces(i + 1)
	}
	workers[2].Kill()
	calls[5].Cancel()
	calls[5].Cancelled()
	d.awaitPlaces(len(workers) - 2)
	if !d.served(slices.Delete(slices.Delete(calls, 5, 6), 2, 3)...) {
		return false
	}
	d.awaitPlaces(0)
	d.holder.MustUnlock()
	for i, w := range workers {
		if i != 2 && i != 5 {
			w.AwaitKind(0, harness.Granted)
			w.MustUnlock()
		}
	}
	d.Check()
	d.CheckNothingIsLeft()
	return true
}

// K50. One that stands at the door is stopped:
//
//  1. A calls Lock, then B. A is stopped.
//  2. seq is unlocked: B gets its ticket, though A stands in front.
//  3. C comes, and gets its ticket, too.
//  4. seq is locked. D calls Lock, then A goes on: A gets its ticket before D.
func TestK50StoppedAtTheDoor(t *testing.T) { inTheEnd(t, k50StoppedAtTheDoor) }

func k50StoppedAtTheDoor(t *testing.T) (inOrder bool) {
	d := lockDoor(t)
	workers := d.StartAll(4)
	a := workers[0].Lock()
	d.awaitPlaces(1)
	b := workers[1].Lock()
	d.awaitPlaces(2)
	workers[0].Stop()
	stopped := d.places()[0]
	d.served(b)
	c := workers[2].Lock()
	d.served(c)
	d.lock()
	fourth := workers[3].Lock()
	d.awaitPlaces(2)
	workers[0].Continue()
	for d.places()[0] == stopped { // it shows that it is alive
		time.Sleep(time.Millisecond)
	}
	if !d.served(a, fourth) {
		return false
	}
	d.holder.MustUnlock()
	for _, i := range []int{1, 2, 0, 3} {
		workers[i].AwaitKind(0, harness.Granted)
		workers[i].MustUnlock()
	}
	d.Check()
	d.CheckNothingIsLeft()
	return true
}

// K50. Processes lock and unlock without a pause. A grant overtakes a call that was made
// before its own and is granted after it. No call is to be overtaken more often than
// twice for each goroutine; a grant that is too many for one call is an excess. There
// is none at the door. A process that has the processor taken away between its call and
// the door is overtaken there, which takes some: without a door it is two of three.
func TestK50OvertakenFromTheCall(t *testing.T) {
	const (
		rounds = 5  // each may be unlucky with the processor
		most   = 10 // percent
	)
	calls := testenv.Fewer(6_000)
	for _, goroutines := range [][]int{{1, 1}, {8, 8}, {4, 4, 4, 4}, {1, 64}, {1, 1, 1, 64}} {
		t.Run(fmt.Sprint(goroutines), func(t *testing.T) {
			all := 0
			for _, n := range goroutines {
				all += n
			}
			least, judged := 100.0, false
			for range rounds {
				made := callsOf(t, goroutines, calls/all)
				if len(made) < all {
					t.Logf("%d calls were made while all processes made some: that is no contention", len(made))
					continue
				}
				judged = true
				excess, worst := overtakes(made, 2*all)
				share := 100 * float64(excess) / float64(len(made))
				t.Logf("of %d grants %.1f %% were an excess; one call was overtaken by %d", len(made), share, worst)
				if least = min(least, share); least <= most {
					return
				}
			}
			if !judged {
				t.Fatal("the processes have never made calls at the same time")
			}
			t.Errorf("%.1f %% of the grants overtook a call that had been overtaken %d times", least, 2*all)
		})
	}
}

// call is a call of Lock, and the token that it got.
type call struct{ called, token int64 }

// callsOf has processes of so many goroutines make calls, and returns those that were
// made while all of the processes made some. They make the first while the lock is held,
// so that none is over before the others have begun.
func callsOf(t *testing.T, goroutines []int, each int) []call {
	t.Helper()
	h := harness.New(t, faulttest.File(t))
	workers, holder := h.StartAll(len(goroutines)), h.Start()
	holder.Lock().Granted()
	dir := t.TempDir()
	inLine := 1
	for i, w := range workers {
		w.Tell("calls", goroutines[i], each, filepath.Join(dir, strconv.Itoa(i)))
		inLine += goroutines[i]
	}
	for len(h.Members()) < inLine {
		time.Sleep(time.Millisecond)
	}
	holder.MustUnlock()
	var made []call
	from, to := int64(0), int64(math.MaxInt64)
	for i, w := range workers {
		if e := w.AwaitKind(0, harness.Said); e.Text != "done" {
			t.Fatalf("worker %d: %+v", i, e)
		}
		of, err := readCalls(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil || len(of) == 0 {
			t.Fatalf("%d calls, %v", len(of), err)
		}
		slices.SortFunc(of, func(a, b call) int { return cmp.Compare(a.called, b.called) })
		from, to = max(from, of[0].called), min(to, of[len(of)-1].called)
		made = append(made, of...)
	}
	h.CheckNothingIsLeft()
	return slices.DeleteFunc(made, func(c call) bool { return c.called < from || c.called > to })
}

func readCalls(path string) (made []call, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	for {
		var c call
		switch _, err := fmt.Fscanln(in, &c.called, &c.token); {
		case errors.Is(err, io.EOF):
			return made, nil
		case err != nil:
			return nil, err
		}
		made = append(made, c)
	}
}

// overtakes counts the grants that overtook a call that had been overtaken by most
// already, and by how many the worst call was.
func overtakes(made []call, most int) (excess, worst int) {
	slices.SortFunc(made, func(a, b call) int { return cmp.Compare(a.token, b.token) })
	overtaken := make([]int, len(made))
	for i, c := range made {
		tooMany := false
		for j := i + 1; j < len(made); j++ {
			if made[j].called < c.called {
				overtaken[j]++
				worst = max(worst, overtaken[j])
				tooMany = tooMany || overtaken[j] > most
			}
		}
		if tooMany {
			excess++
		}
	}
	return excess, worst
}
