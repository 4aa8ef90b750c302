//go:build linux

package contention

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
)

// One process has many goroutines in line, others a few: all are served in the
// order of arrival, and the goroutines cost no threads.
func TestX18ManyGoroutines(t *testing.T) { manyGoroutines(t, 200) }

func TestX18ManyGoroutinesTorture(t *testing.T) {
	harness.Torture(t)
	manyGoroutines(t, 1000)
}

func manyGoroutines(t *testing.T, goroutines int) {
	faulttest.OnBoth(t, faulttest.LongLease, func(t *testing.T, spec harness.Spec) {
		const others, sections = 3, 5
		h := harness.New(t, spec)
		big := h.Start()
		small := h.StartAll(others)
		big.Run(goroutines, 2)
		for _, w := range small {
			w.Run(1, sections)
		}
		h.AwaitCount(harness.Granted, goroutines/2)
		if n := threads(t, big.PID); n > 40 {
			t.Errorf("%d goroutines in line cost %d threads", goroutines, n)
		}
		for _, w := range append(small, big) {
			w.Finished()
		}
		if v := h.Check(); v.Grants != 2*goroutines+others*sections || v.LostHolds != 0 {
			t.Errorf("%v; want %d grants", v, 2*goroutines+others*sections)
		}
		h.CheckNothingIsLeft()
	})
}

// Every wake-up gets lost: polling serves every waiter.
func TestX19EveryWakeUpIsLost(t *testing.T) {
	faulttest.OnBoth(t, faulttest.LongLease, func(t *testing.T, spec harness.Spec) {
		const workers, goroutines = 4, 4
		spec.Deaf = true
		faulttest.InTheEnd(t, func() (quick bool) {
			h := harness.New(t, spec)
			all := h.StartAll(workers)
			for _, w := range all {
				w.Run(goroutines, 1)
			}
			for _, w := range all {
				w.Finished()
			}
			p50, worst := handOffs(h.Events())
			t.Logf("hand-offs without a wake-up: p50 %v, longest %v", p50, worst)
			h.Check()
			h.CheckNothingIsLeft()
			return worst <= 1200*time.Millisecond+faulttest.Soon // with polls every 1.2 s at the latest
		})
	})
}

// handOffs returns the times between a call of Unlock and the next grant, where a waiter
// was in line.
func handOffs(events []harness.Event) (p50, longest time.Duration) {
	slices.SortFunc(events, func(a, b harness.Event) int { return int(a.At - b.At) })
	var gaps []time.Duration
	waiting, releasing := 0, harness.Event{}
	for _, e := range events {
		switch e.Kind {
		case harness.Registered:
			waiting++
		case harness.Releasing:
			releasing = e
			if waiting == 0 {
				releasing = harness.Event{}
			}
		case harness.Granted:
			waiting--
			if releasing.At != 0 {
				gaps = append(gaps, faulttest.Since(releasing, e))
			}
		}
	}
	if len(gaps) == 0 {
		return 0, 0
	}
	p50, _ = faulttest.Quantiles(gaps)
	return p50, gaps[len(gaps)-1]
}

// What a hand-off costs does not grow with the line.
func TestX21CommandsPerHandOff(t *testing.T) {
	perHandOff := func(waiters int) float64 {
		server := redistest.StartServer(t)
		client := server.Client()
		const workers = 4
		handOffs := testenv.Fewer(500)
		h := harness.New(t, harness.Redis(server.Addr, "line", time.Hour)) // so that no heartbeat is counted
		all := h.StartAll(workers + 1)
		all[workers].Lock().Granted()
		for _, w := range all[:workers] {
			w.Run(waiters/workers, 0)
		}
		h.AwaitCount(harness.Registered, waiters+1)
		all[workers].MustUnlock()
		// Every waiter looks once, when the connection for the wake-ups is there.
		h.AwaitCount(harness.Granted, waiters)
		granted, before := h.Count(harness.Granted), faulttest.ScriptCalls(t, client)
		h.AwaitCount(harness.Granted, granted+handOffs)
		after := faulttest.ScriptCalls(t, client)
		n := float64(after-before) / float64(h.Count(harness.Granted)-granted)
		for _, w := range all[:workers] {
			w.Finish()
		}
		for _, w := range all[:workers] {
			w.Finished()
		}
		h.Check()
		h.CheckNothingIsLeft()
		return n
	}
	few, many := perHandOff(8), perHandOff(400)
	t.Logf("%.1f commands of clients for each hand-off with 8 in line, %.1f with 400", few, many)
	if many > 2*few+1 {
		t.Errorf("a hand-off costs %.1f commands with 8 in line and %.1f with 400", few, many)
	}
}

// Ten thousand in line: all are served, in order, and neither threads nor
// connections grow with them.
func TestF25TenThousandWaiters(t *testing.T) {
	harness.Torture(t)
	tenThousand(t, faulttest.File(t))
}

func TestR38TenThousandWaiters(t *testing.T) {
	harness.Torture(t)
	server := redistest.StartServer(t)
	spec := harness.Redis(server.Addr, "crowd", time.Minute)
	tenThousand(t, spec)
}

func tenThousand(t *testing.T, spec harness.Spec) {
	const workers, each = 10, 1000
	h := harness.New(t, spec)
	holder := h.Start()
	holder.Lock().Granted()
	all := h.StartAll(workers)
	for _, w := range all {
		w.Run(each, 1)
	}
	h.AwaitCount(harness.Registered, workers*each+1)
	for _, w := range all {
		if n := threads(t, w.PID); n > 50 {
			t.Errorf("%d goroutines in line cost %d threads", each, n)
		}
	}
	holder.MustUnlock()
	for _, w := range all {
		w.Finished()
	}
	p50, longest := handOffs(h.Events())
	t.Logf("hand-offs with up to %d in line: p50 %v, longest %v", workers*each, p50, longest)
	if v := h.Check(); v.Grants != workers*each+1 || v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want %d grants", v, workers*each+1)
	}
	h.CheckNothingIsLeft()
}

// Everything is removed after each release, and made again, all the time.
func TestF30CleanUpAllTheTime(t *testing.T) {
	budget := harness.Torture(t)
	h := harness.New(t, faulttest.File(t))
	h.Gap = 2 * time.Millisecond
	workers := h.StartAll(8)
	for _, w := range workers {
		w.Run(2, 0)
	}
	time.Sleep(budget)
	for _, w := range workers {
		w.Finish()
	}
	for _, w := range workers {
		w.Finished()
	}
	h.Check()
	h.CheckNothingIsLeft()
}

// threads is how many threads a process has.
func threads(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "Threads:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(rest))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no number of threads")
	return 0
}
