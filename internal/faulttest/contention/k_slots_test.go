//go:build linux

package contention

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

func init() {
	commands["slots"] = faulttest.UseSlots
	commands["permit"] = takePermit
	commands["give"] = givePermit
}

// A semaphore of three slots. Its holders and waiters are killed, stopped and cancelled;
// on Redis requests and replies are lost, too. Those that take the place of the killed
// have another limit, two to four, as when it is changed while in use. Never do more hold
// than may, none barges, and in the end all are served.
func TestX24StormOfSlots(t *testing.T) { x24StormOfSlots(t, 2*time.Second) }

func TestX24StormOfSlotsTorture(t *testing.T) { x24StormOfSlots(t, harness.Torture(t)) }

func x24StormOfSlots(t *testing.T, duration time.Duration) {
	t.Run("file", func(t *testing.T) {
		h := harness.New(t, faulttest.File(t))
		stormOfSlots(t, h, duration, 3, func(*rand.Rand) {})
	})
	t.Run("redis", func(t *testing.T) {
		const lease = 500 * time.Millisecond
		server := redistest.StartServer(t)
		proxy := redistest.NewProxy(t, server.Addr)
		h := harness.New(t, harness.Redis(server.Addr, "slots", lease))
		faulttest.Warm(t, server.Client())
		h.Spec.Addr = proxy.Addr
		h.Tolerant = true // a request that is lost too often
		// The permit of one that was killed is in use for a lease.
		stormOfSlots(t, h, duration, 12, func(random *rand.Rand) {
			switch random.IntN(6) {
			case 0:
				proxy.Cut()
			case 1, 2:
				proxy.LoseRequests(faulttest.Script, 1+random.IntN(2))
			default:
				proxy.LoseReplies(faulttest.Script, 1+random.IntN(2))
			}
		})
	})
}

// stormOfSlots kills a process now and then: one time of so many that it does anything.
func stormOfSlots(t *testing.T, h *harness.Harness, duration time.Duration, killed int, fail func(*rand.Rand)) {
	const slots, workers = 3, 6
	random := harness.Random(t)
	s := faulttest.NewSlots(t, h)
	all := make([]*harness.Process, workers)
	for i := range all {
		all[i] = s.Start(slots)
	}
	for end := time.Now().Add(duration); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		i := random.IntN(workers)
		switch random.IntN(killed) {
		case 0:
			all[i].Kill()
			all[i] = s.Start(slots - 1 + random.IntN(3))
		case 1:
			all[i].Stop()
			time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
			all[i].Continue()
		default:
			fail(random)
		}
	}
	s.Finish()
}

// permit is the one that this process has taken, as a worker.
var permit = make(chan *lock.Hold, 1)

// takePermit takes a permit of so many. It says when it is in line, and when it holds.
func takePermit(w *harness.Worker, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	s := lock.NewSemaphore(w.Queue, n, lock.WithTrace(&lock.Trace{
		Registered: func(queue.Ticket) { w.Say("in line") },
	}))
	go func() {
		h, err := s.Acquire(context.Background())
		if err != nil {
			w.Say("failed: %v", err)
			return
		}
		permit <- h
		w.Say("holds")
	}()
	return nil
}

func givePermit(w *harness.Worker, _ []string) error {
	err := (<-permit).Release()
	w.Say("gave: %v", err)
	return nil
}

// Two of three that hold die at once, and one that waits, each in a process of its own:
//
//  1. 1, 2 and 3 hold; 4, 5, 6 and 7 wait.
//  2. 2, 3 and 5 are killed. 4 and 6 hold, 1 holds on, and 7 waits.
//  3. 1 gives its permit back, and 7 holds.
func TestX24PermitsOfTheDead(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		if !permitsOfTheDead(t, faulttest.File(t)) {
			t.Error("a living one has lost its place")
		}
	})
	t.Run("redis", func(t *testing.T) {
		faulttest.WithLease(t, time.Second, func(lease time.Duration) bool {
			return permitsOfTheDead(t, faulttest.Redis(t, lease))
		})
	})
}

// permitsOfTheDead reports whether all that live have kept their tickets.
func permitsOfTheDead(t *testing.T, spec harness.Spec) (kept bool) {
	t.Helper()
	h := harness.New(t, spec)
	all := h.StartAll(7)
	for _, w := range all {
		w.Do("permit", 3) // before the next comes
	}
	said := func(w *harness.Process, what string) (times int) {
		for _, e := range h.Events() {
			if e.Worker == w.Number && e.Kind == harness.Said && strings.HasPrefix(e.Text, what) {
				times++
			}
		}
		return times
	}
	awaitHolds := func(workers ...*harness.Process) {
		t.Helper()
		for _, w := range workers {
			w.Await(0, "that it holds", func(e harness.Event) bool { return e.Text == "holds" })
		}
	}
	awaitHolds(all[:3]...)
	for _, i := range []int{1, 2, 4} {
		all[i].Kill()
	}
	awaitHolds(all[3], all[5])
	time.Sleep(faulttest.Moment)
	last := all[6]
	early := said(last, "holds") > 0
	kept = true
	for _, i := range []int{0, 3, 5} {
		e := all[i].Do("give")
		kept = kept && e.Text == "gave: <nil>"
		if i == 0 {
			awaitHolds(last)
		}
	}
	kept = last.Do("give").Text == "gave: <nil>" && kept
	for _, w := range all {
		kept = kept && said(w, "in line") == 1
	}
	if kept && early {
		t.Error("the last came to hold while three held")
	}
	h.CheckNothingIsLeft()
	return kept
}
