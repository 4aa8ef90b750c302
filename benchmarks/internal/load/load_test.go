package load

import (
	"bufio"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

func TestMain(m *testing.M) {
	BeWorker()
	os.Exit(m.Run())
}

// nothing is called around what is not measured.
func nothing() error { return nil }

// open opens a peer that needs no server.
func open(t *testing.T, name string) (peer.Peer, *peer.Lock, peer.Site, peer.Options) {
	t.Helper()
	p, err := peer.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	site, o := peer.Site{Dir: t.TempDir()}, peer.Options{Name: "test", Lease: 30 * time.Second}
	lock, err := p.Open(t.Context(), site, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, lock, site, o
}

// checkRun checks what must be true of every run of a fair lock.
func checkRun(t *testing.T, r Run, plan Plan, waiters int) {
	t.Helper()
	if err := r.Check(); err != nil {
		t.Error(err)
	}
	if len(r.Samples) == 0 || r.Grants < len(r.Samples) {
		t.Errorf("%d samples of %d grants", len(r.Samples), r.Grants)
	}
	f := r.Figures()
	if f["overtaking_grants"] != 0 {
		t.Errorf("a fair lock has %v overtakes", f["overtaking_grants"])
	}
	if f["acquisitions_per_s"] <= 0 || r.Waiters != waiters {
		t.Errorf("%v acquisitions/s of %d waiters, want more than none of %d", f["acquisitions_per_s"], r.Waiters, waiters)
	}
	for _, s := range r.Samples {
		if s.Called > s.Acquired || s.Acquired+int64(plan.Held) > s.Unlocking || s.Unlocking > s.Unlocked {
			t.Fatalf("the times of %+v are not in order", s)
		}
	}
}

func TestContend(t *testing.T) {
	for _, plan := range []Plan{
		{Waiters: 1, Measure: time.Hour, AtMost: 100},
		{Waiters: 8, WarmUp: 10 * time.Millisecond, Measure: time.Hour, AtMost: 1000},
		{Waiters: 4, Held: time.Millisecond, Measure: time.Hour, AtMost: 20},
	} {
		_, lock, _, _ := open(t, peer.FifolockMemory)
		r, err := Contend(t.Context(), lock, plan, nothing)
		if err != nil {
			t.Fatal(err)
		}
		checkRun(t, r, plan, plan.Waiters)
	}
}

func TestContendEndsAfterSoManySamples(t *testing.T) {
	_, lock, _, _ := open(t, peer.FifolockMemory)
	r, err := Contend(t.Context(), lock, Plan{Waiters: 3, Measure: time.Hour, AtMost: 100}, nothing)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Samples) != 100 {
		t.Errorf("%d samples, want 100", len(r.Samples))
	}
}

func TestContendBetweenProcesses(t *testing.T) {
	p, _, site, o := open(t, peer.FifolockFile)
	plan := Plan{Waiters: 2, WarmUp: 20 * time.Millisecond, Measure: time.Hour, AtMost: 500}
	around := 0
	r, err := ContendBetweenProcesses(p, site, o, plan, func() error { around++; return nil }, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	checkRun(t, r, plan, 4)
	if around != 2 {
		t.Errorf("%d calls around it, want 2", around)
	}
}

// A wait that was given up is not shorter for it.
func TestWaitsThatWereGivenUp(t *testing.T) {
	r := Run{To: int64(time.Second), Waiters: 2, Unserved: 1, GivenUp: []time.Duration{12 * time.Second},
		Samples: []figures.Sample{{Called: 1, Acquired: 2, Unlocking: 3, Unlocked: 4}}}
	if f := r.Figures(); f["wait_max_us"] != 12e6 || f["unserved"] != 1 {
		t.Errorf("the longest wait is %v µs of %v not served, want 12 s of 1", f["wait_max_us"], f["unserved"])
	}
}

// Of few samples there is no 99th percentile, and no index of Jain.
func TestFewSamples(t *testing.T) {
	r := Run{To: 1000, Waiters: 2}
	for i := range int64(99) {
		r.Samples = append(r.Samples, figures.Sample{Waiter: int(i % 2), Called: i, Acquired: i + 1, Unlocking: i + 1, Unlocked: i + 1})
	}
	f := r.Figures()
	if _, ok := f["wait_p99_us"]; ok {
		t.Error("a 99th percentile of 99 waits")
	}
	if _, ok := f["jain"]; !ok {
		t.Error("no index of Jain, though each of two had the lock more than ten times")
	}
	r.Waiters = 10
	if _, ok := r.Figures()["jain"]; ok {
		t.Error("an index of Jain, though each of ten had the lock less than ten times")
	}
}

// A process with another number of goroutines is told apart.
func TestDoor(t *testing.T) {
	p, _, site, o := open(t, peer.FifolockFile)
	plan := Plan{Measure: time.Hour, AtMost: 200}
	r, err := ContendBetweenProcesses(p, site, o, plan, nothing, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	checkRun(t, r, plan, 4)
	f := r.Figures()
	r.AddDoor(f, 0)
	if f["lone_per_s"] > f["acquisitions_per_s"] || f["lone_wait_max_us"] > f["wait_max_us"] {
		t.Errorf("%v of %v acquisitions/s are those of the lone one, and %v of %v is its longest wait",
			f["lone_per_s"], f["acquisitions_per_s"], f["lone_wait_max_us"], f["wait_max_us"])
	}
	r.Samples = []figures.Sample{
		{Waiter: 0, Called: 1, Acquired: 9, Unlocking: 10, Unlocked: 11},
		{Waiter: 1, Called: 2, Acquired: 3, Unlocking: 4, Unlocked: 5},
		{Waiter: 1, Called: 6, Acquired: 7, Unlocking: 8, Unlocked: 9},
	}
	r.AddDoor(f, 0)
	if f["call_overtaken_max_times"] != 2 || f["overtook_a_call_percent"] < 66 || f["overtook_a_call_percent"] > 67 {
		t.Errorf("one of three calls was overtaken twice: %v", f)
	}
}

func TestSemaphore(t *testing.T) {
	for _, name := range []string{peer.FifolockMemory, peer.FifolockFile, peer.GofrsPolling, peer.SyncSemaphore} {
		p, err := peer.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		plan := Plan{Waiters: 6, Holders: 2, Held: time.Millisecond, Measure: time.Hour, AtMost: 60}
		lock, err := p.Open(t.Context(), peer.Site{Dir: t.TempDir()}, peer.Options{Name: "test", Holders: plan.Holders})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Contend(t.Context(), lock, plan, nothing)
		if err = errors.Join(err, r.Check(), lock.Close()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f := r.Figures()
		if f["holders_max_at_once"] != 2 || f["ideal_percent"] <= 0 || f["ideal_percent"] > 100 {
			t.Errorf("%s: %v holders at once and %v percent of the ideal", name, f["holders_max_at_once"], f["ideal_percent"])
		}
		if p.Fair && f["overtaking_grants"] != 0 {
			t.Errorf("%s: a fair semaphore has %v overtakes", name, f["overtaking_grants"])
		}
		r.Plan.Holders = 1
		if r.Check() == nil {
			t.Errorf("%s: two held a lock at once, and it was not noticed", name)
		}
	}
}

// The program of an earlier revision is told its own name of the peer.
func TestProgramOfAnEarlierRevision(t *testing.T) {
	o := order{Peer: peer.EarlierFile}
	if _, _, err := program(o); err == nil {
		t.Error("no error without such a program")
	}
	o.Site.Earlier = "/earlier/compare"
	if path, o, err := program(o); path != "/earlier/compare" || o.Peer != peer.FifolockFile || err != nil {
		t.Errorf("%s with the peer %s, %v", path, o.Peer, err)
	}
}

func TestMeasureIdleLocks(t *testing.T) {
	_, lock, _, _ := open(t, peer.FifolockFile)
	i, err := MeasureIdleLocks(t.Context(), lock, 5, 0, 10*time.Millisecond, func() error { return nil })
	if err != nil || i.Waiters != 5 {
		t.Errorf("%+v, %v", i, err)
	}
}

func TestServeLine(t *testing.T) {
	_, lock, _, _ := open(t, peer.FifolockMemory)
	const n = 50
	called := 0
	l, err := ServeLine(t.Context(), lock, n, func() error { called++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Samples) != n+1 || called != 1 {
		t.Errorf("%d samples, %d calls while all waited; want %d and 1", len(l.Samples), called, n+1)
	}
	if got := l.Figures()["overtaking_grants"]; got != 0 {
		t.Errorf("%v overtakes in a fair line", got)
	}
}

func TestServeLineOfALockWhoseArrivalsCannotBeSeen(t *testing.T) {
	_, lock, _, _ := open(t, peer.Flock)
	l, err := ServeLine(t.Context(), lock, 10, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Samples) != 11 {
		t.Errorf("%d samples, want 11", len(l.Samples))
	}
}

func TestAnErrorWhileAllWaitIsReturned(t *testing.T) {
	_, lock, _, _ := open(t, peer.FifolockMemory)
	planted := errors.New("planted")
	if _, err := ServeLine(t.Context(), lock, 5, func() error { return planted }); !errors.Is(err, planted) {
		t.Errorf("error %v, want the planted one", err)
	}
}

func TestMeasureIdle(t *testing.T) {
	for _, name := range []string{peer.FifolockMemory, peer.Flock} {
		_, lock, _, _ := open(t, name)
		around := 0
		i, err := MeasureIdle(t.Context(), lock, 4, 0, 10*time.Millisecond, func() error { around++; return nil })
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if i.Waiters != 4 || i.Time < 10*time.Millisecond || around != 2 {
			t.Errorf("%s: %+v and %d calls around it", name, i, around)
		}
	}
}

func TestIdleSystemCalls(t *testing.T) {
	p, _, site, o := open(t, peer.GofrsPolling)
	_, err := IdleSystemCalls(p, site, o, 2, 0, 0)
	if errors.Is(err, ErrNoStrace) && os.Getenv("FIFOLOCK_TEST_TOOLS") != "require" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	calls, err := tracedIdle(p, site, o, 2, 0, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if calls == 0 {
		t.Error("a lock that polls has made no system call")
	}
}

func TestSumCalls(t *testing.T) {
	const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000600           6       100           futex
 30.00    0.000300           3        20         2 openat
 10.00    0.000100           5         7           flock
------ ----------- ----------- --------- --------- ----------------
100.00    0.001000           7       127         2 total
`
	sum, err := sumCalls(bufio.NewScanner(strings.NewReader(table)))
	if err != nil || sum != 27 {
		t.Errorf("sum %d, %v; want 27", sum, err)
	}
}

func TestRecover(t *testing.T) {
	p, _, site, o := open(t, peer.FifolockFile)
	took, err := Recover(context.Background(), p, site, o)
	if err != nil {
		t.Fatal(err)
	}
	if took <= 0 {
		t.Errorf("the next had the lock %v after the holder was killed", took)
	}
}

func TestHoldMany(t *testing.T) {
	_, lock, _, _ := open(t, peer.FifolockFile)
	m, err := HoldMany(t.Context(), lock, 25, 10, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if f := m.Figures(); f["locks"] != 25 || f["watchers"] > 1 {
		t.Errorf("%v; want 25 locks and no more than one inotify instance", f)
	}
}
