//go:build linux

package harness

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

func TestMain(m *testing.M) { os.Exit(Main(m, brokenCommands)) }

// brokenCommands make workers do what a broken lock would let them do.
var brokenCommands = map[string]Command{
	// walk goes through the section without the lock, with a token.
	"walk": func(w *Worker, args []string) error {
		h := hold{call: 1, ticket: parse(args[0]), over: make(chan struct{})}
		w.emit(Event{Kind: Called, Call: h.call})
		w.emit(Event{Kind: Registered, Call: h.call, Ticket: h.ticket})
		for _, other := range w.occupancy.enter(w.config.Number, h.ticket) {
			w.emit(Event{Kind: Met, Call: h.call, Ticket: h.ticket, Other: other})
		}
		w.hold = h
		w.emit(Event{Kind: Granted, Call: h.call, Ticket: h.ticket})
		return nil
	},
	// read and put are the halves of counting up.
	"read": func(w *Worker, _ []string) error {
		n, err := readCounter(w.config.Counter)
		w.Say("%d", n)
		return err
	},
	"put": func(w *Worker, args []string) error {
		err := writeCounter(w.config.Counter, parse(args[0]))
		w.emit(Event{Kind: Wrote, Call: w.hold.call, Ticket: w.hold.ticket})
		return err
	},
	// out leaves the section without the lock.
	"out": func(w *Worker, _ []string) error {
		w.occupancy.leave(w.config.Number)
		w.emit(Event{Kind: Releasing, Call: 1, Ticket: w.hold.ticket})
		w.emit(Event{Kind: Released, Call: 1, Ticket: w.hold.ticket})
		return nil
	},
}

func parse(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// broken is a harness without a lock.
func broken(t *testing.T) *Harness {
	return New(t, File(filepath.Join(t.TempDir(), "queue")))
}

func (p *Process) walk(token int64) {
	mark := p.Mark()
	p.Tell("walk", token)
	p.AwaitKind(mark, Granted)
}

func (p *Process) out() {
	mark := p.Mark()
	p.Tell("out")
	p.AwaitKind(mark, Released)
}

// awaitStanding waits until it shows that the worker stands.
func (p *Process) awaitStanding() {
	for Now()-p.pulse().seen.Load() < int64(leastPause) {
		time.Sleep(time.Millisecond)
	}
}

// awaitRunning waits until it shows that the worker goes on.
func (p *Process) awaitRunning() {
	for from := Now(); p.pulse().seen.Load() < from; {
		time.Sleep(time.Millisecond)
	}
}

func wantProblem(t *testing.T, problems []string, part string) {
	t.Helper()
	if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, part) }) {
		t.Errorf("no problem says %q, of %q", part, problems)
	}
}

func wantNone(t *testing.T, problems []string) {
	t.Helper()
	if len(problems) > 0 {
		t.Errorf("problems where there are none: %q", problems)
	}
}

func TestOccupancyNoticesTwoInTheSection(t *testing.T) {
	h := broken(t)
	a, b := h.Start(), h.Start()
	a.walk(1)
	b.walk(2)
	a.out()
	b.out()
	v := h.judge()
	wantProblem(t, v.Problems, "met worker 0 with ticket 1")
	wantProblem(t, v.Problems, "was granted ticket 2")
	wantProblem(t, v.Problems, "not linearizable")
}

func TestOccupancyCountsAStoppedWorker(t *testing.T) {
	h := broken(t)
	a, b := h.Start(), h.Start()
	a.walk(1)
	a.Stop()
	b.walk(2)
	b.out()
	a.Continue()
	a.out()
	wantProblem(t, h.judge().Problems, "met worker 0 with ticket 1")
}

func TestOccupancyCountsAWorkerThatIsKilledLater(t *testing.T) {
	h := broken(t)
	a, b := h.Start(), h.Start()
	a.walk(1)
	b.walk(2)
	a.Kill()
	b.out()
	wantProblem(t, h.judge().Problems, "met worker 0 with ticket 1")
}

func TestKilledWorkersAreNotInTheSection(t *testing.T) {
	h := broken(t)
	a, b := h.Start(), h.Start()
	a.walk(1)
	a.Kill()
	b.walk(2)
	b.out()
	wantNone(t, h.judge().Problems)
}

// A worker stands for longer than its lease, goes on, and is killed before it can say that
// it has lost its hold.
func TestKilledBeforeItKnows(t *testing.T) {
	h := broken(t)
	h.Spec.Stale = time.Second
	a, b := h.Start(), h.Start()
	a.walk(1)
	a.Stop()
	a.awaitStanding()
	b.walk(2)
	b.out()
	a.Continue()
	a.Kill()
	wantNone(t, h.judge().Problems)
}

// It gets no time, by no doing of the test's.
func TestKilledWhenItGotNoTime(t *testing.T) {
	h := broken(t)
	h.Spec.Stale = time.Second
	a, b := h.Start(), h.Start()
	a.walk(1)
	a.Signal(syscall.SIGSTOP)
	a.awaitStanding()
	b.walk(2)
	b.out()
	a.Kill()
	wantNone(t, h.judge().Problems)
}

// One that has said something since was alive when it was killed.
func TestKilledWhenItWentOn(t *testing.T) {
	h := broken(t)
	h.Spec.Stale = time.Second
	a, b := h.Start(), h.Start()
	a.walk(1)
	a.Stop()
	a.awaitStanding()
	b.walk(2)
	b.out()
	a.Continue()
	a.awaitRunning()
	a.Do("read")
	a.Kill()
	wantProblem(t, h.judge().Problems, "was granted ticket 2")
}

func TestOneAfterTheOtherIsNoProblem(t *testing.T) {
	h := broken(t)
	a, b := h.Start(), h.Start()
	a.walk(1)
	a.Write()
	a.out()
	b.walk(2)
	b.Write()
	b.out()
	v := h.judge()
	wantNone(t, v.Problems)
	if v.Grants != 2 {
		t.Errorf("%d grants, want 2", v.Grants)
	}
}

func TestCounterNoticesALostUpdate(t *testing.T) {
	h := broken(t)
	a, b := h.Start(), h.Start()
	a.walk(1)
	if n := a.Do("read").Text; n != "0" {
		t.Fatalf("the counter begins with %s", n)
	}
	b.walk(2)
	b.Write()
	b.out()
	a.Tell("put", 1)
	a.AwaitKind(0, Wrote)
	a.out()
	wantProblem(t, h.judge().Problems, "an update was lost")
}

func TestResourceNoticesALateToken(t *testing.T) {
	h := broken(t)
	a, b := h.Start(), h.Start()
	b.walk(2)
	b.Write()
	b.out()
	a.walk(1)
	if e := a.Write(); !e.Stale {
		t.Error("the resource has taken a late token")
	}
	a.out()
	v := h.judge()
	wantProblem(t, v.Problems, "with token 1 when it had seen 2")
	wantProblem(t, v.Problems, "ticket 1 of worker 0 was granted after ticket 2 of worker 1")
}

func TestResourceNoticesATokenGivenTwice(t *testing.T) {
	h := broken(t)
	a, b := h.Start(), h.Start()
	a.walk(7)
	a.Write()
	a.out()
	b.walk(7)
	b.Write()
	b.out()
	wantProblem(t, h.judge().Problems, "same token")
}

// A write under a token that has been read with is not lost, whichever owner wrote
// before.
func TestResourceRefusesTheWriteOfSomebodyWhoWasOvertaken(t *testing.T) {
	var s resourceState
	s.handle(resourceRequest{Owner: "a", Token: 1})
	s.handle(resourceRequest{Owner: "b", Token: 2})
	if reply := s.handle(resourceRequest{Owner: "a", Token: 1, Write: true, Value: 1}); !reply.Stale {
		t.Error("a write with a token that was overtaken is accepted")
	}
	if reply := s.handle(resourceRequest{Owner: "b", Token: 2, Write: true, Value: 1}); reply.Stale {
		t.Error("a write with the highest token is refused")
	}
	if s.Accepted != 1 || s.Value != 1 || len(s.Stale) != 1 || s.EqualFromOther != 0 {
		t.Errorf("the resource has counted %+v", s)
	}
}

// of makes a journal of whole holds: each has its worker, when it was called,
// registered, granted, releasing and released, and its ticket.
func of(holds ...[7]int64) []Event {
	var events []Event
	for i, h := range holds {
		kinds := []Kind{Called, Registered, Granted, Releasing, Released}
		for k, kind := range kinds {
			events = append(events, Event{At: h[1+k], Kind: kind, Call: int64(i) + 1, Ticket: h[6], Worker: int(h[0])})
		}
	}
	return events
}

func TestJournal(t *testing.T) {
	for name, c := range map[string]struct {
		events []Event
		want   string // "" for no problem
	}{
		"fair": {of(
			[7]int64{0, 10, 11, 12, 20, 21, 1},
			[7]int64{1, 12, 13, 22, 30, 31, 2}), ""},
		"registered at the same time, in either order": {of(
			[7]int64{0, 10, 15, 30, 40, 41, 2},
			[7]int64{1, 11, 16, 17, 20, 21, 1}), ""},
		"overlap": {of(
			[7]int64{0, 10, 11, 12, 20, 21, 1},
			[7]int64{1, 12, 13, 19, 30, 31, 2}), "was granted ticket 2 at 19 while worker 0 held ticket 1"},
		"overlap with one that is not the one before": {of(
			[7]int64{0, 10, 11, 12, 90, 91, 1},
			[7]int64{1, 12, 13, 14, 15, 16, 2},
			[7]int64{2, 12, 13, 40, 50, 51, 3}), "was granted ticket 3 at 40 while worker 0 held ticket 1"},
		"inverted grants": {of(
			[7]int64{0, 10, 11, 22, 30, 31, 1},
			[7]int64{1, 10, 13, 14, 20, 21, 2}), "ticket 1 of worker 0 was granted after ticket 2"},
		"doorway": {of(
			[7]int64{0, 10, 11, 22, 30, 31, 2},
			[7]int64{1, 12, 13, 14, 20, 21, 1}), "worker 1 called at 12 and got ticket 1, when worker 0 had ticket 2"},
		"no return":  {[]Event{{At: 1, Kind: Called, Call: 1}}, "has not returned"},
		"no release": {of([7]int64{0, 10, 11, 12, 20, 21, 1})[:3], "was not released"},
		"a ticket from nowhere": {append(of([7]int64{0, 10, 11, 12, 20, 21, 1})[:2],
			Event{At: 12, Kind: Granted, Call: 1, Ticket: 9}), "not one of the call's"},
		"lost": {append(of([7]int64{0, 10, 11, 12, 20, 21, 1}),
			Event{At: 15, Kind: Lost, Call: 1, Ticket: 1}), "which no living owner's can be"},
	} {
		t.Run(name, func(t *testing.T) {
			j := journal{events: c.events}
			problems := j.check()
			if c.want == "" {
				wantNone(t, problems)
			} else {
				wantProblem(t, problems, c.want)
			}
		})
	}
}

func TestJournalExcusesTheKilled(t *testing.T) {
	holder := of([7]int64{0, 10, 11, 12, 0, 0, 1})[:3]
	for at, want := range map[int64]string{21: "", 23: "was granted ticket 2 at 22 while worker 0 held ticket 1 until 23"} {
		events := append(slices.Clone(holder), of([7]int64{0, 0, 0, 0, 0, 0, 0}, [7]int64{1, 12, 13, 22, 30, 31, 2})[5:]...)
		j := journal{events: events, killed: map[int]int64{0: at}}
		if problems := j.check(); want == "" {
			wantNone(t, problems)
		} else {
			wantProblem(t, problems, want)
		}
	}
}

// A worker that is killed between the mark of its slot and the word that it was granted
// may be met from then on, and only then.
func TestOccupancyOfOneKilledBeforeItsGrantWasTold(t *testing.T) {
	for at, want := range map[int64]string{22: "met worker 0 with ticket 1", 24: ""} {
		for killed, want := range map[int64]string{23: want, 0: "met ticket 1, which nobody was granted"} {
			events := append(of([7]int64{0, 10, 11, 12, 0, 0, 1})[:2], of([7]int64{0, 0, 0, 0, 0, 0, 0}, [7]int64{1, 12, 13, 22, 30, 31, 2})[5:]...)
			events = append(events, Event{At: at, Worker: 1, Kind: Met, Call: 1, Ticket: 2, Other: 1})
			j := journal{events: events, killed: make(map[int]int64)}
			if killed != 0 {
				j.killed[0] = killed
			}
			attempts, _ := j.attempts()
			var v Verdict
			if v.occupancy(attempts); want == "" {
				wantNone(t, v.Problems)
			} else {
				wantProblem(t, v.Problems, want)
			}
		}
	}
}

func TestLinearizability(t *testing.T) {
	for name, c := range map[string]struct {
		events []Event
		killed map[int]int64
		want   bool
	}{
		"one after the other": {events: of([7]int64{0, 10, 11, 12, 20, 21, 1}, [7]int64{1, 12, 13, 21, 30, 31, 2}), want: true},
		// Unlock had its effect before it returned.
		"the next is faster than Unlock's return": {events: of([7]int64{0, 10, 11, 12, 20, 40, 1}, [7]int64{1, 12, 13, 21, 30, 31, 2}), want: true},
		"granted before the release":              {events: of([7]int64{0, 10, 11, 12, 20, 21, 1}, [7]int64{1, 12, 13, 19, 30, 31, 2})},
		"a lower token":                           {events: of([7]int64{0, 10, 11, 12, 20, 21, 2}, [7]int64{1, 12, 13, 25, 30, 31, 1})},
		"the same token":                          {events: of([7]int64{0, 10, 11, 12, 20, 21, 2}, [7]int64{1, 12, 13, 25, 30, 31, 2})},
	} {
		t.Run(name, func(t *testing.T) {
			j := journal{events: c.events, killed: c.killed}
			attempts, _ := j.attempts()
			want := porcupine.Illegal
			if c.want {
				want = porcupine.Ok
			}
			if got := linearizable(attempts, time.Minute); got != want {
				t.Errorf("linearizable is %v, want %v", got, want)
			}
		})
	}
}

// A search that does not come to its end is told, and is no proof.
func TestUndecidedIsTold(t *testing.T) {
	j := journal{events: of([7]int64{0, 10, 11, 12, 20, 21, 1}, [7]int64{1, 12, 13, 21, 30, 31, 2})}
	attempts, _ := j.attempts()
	// The limit is over before the search, which may be faster all the same.
	for linearizable(attempts, 1) != porcupine.Unknown {
	}
	if text := (Verdict{Undecided: 1}).String(); !strings.Contains(text, "1 undecided") {
		t.Errorf("%q does not say that it is undecided", text)
	}
}

// What a call returns is a failure unless the test asked for it.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		call int64
		kind Kind
		want []Cause
	}{
		"a call of the test": {firstCall, Cancelled, []Cause{CauseLost, NotLocked, NotQueued, OtherCause}},
		"a call of Run":      {1, Cancelled, []Cause{CauseLost, NotLocked, Canceled, DeadlinePast, NotQueued, OtherCause}},
		"Unlock":             {firstCall, Released, []Cause{NotLocked, Canceled, DeadlinePast, NotQueued, OtherCause}},
	} {
		for _, cause := range []Cause{None, CauseLost, NotLocked, Canceled, DeadlinePast, NotQueued, OtherCause} {
			a := &attempt{call: c.call}
			a.note(Event{Kind: c.kind, Cause: cause})
			var v Verdict
			v.count([]*attempt{a}, false)
			want := slices.Contains(c.want, cause)
			if (v.Failures == 1) != want || (len(v.Problems) == 1) != want {
				t.Errorf("%s that returns %q: %d failures, %q; want %v", name, cause, v.Failures, v.Problems, want)
			}
		}
	}
}

// With one seed, the sources of a test are the same again, and each has its own numbers.
func TestSeed(t *testing.T) {
	old := *seed
	defer func() { *seed = old }()
	draw := func(s uint64) (first, second uint64) {
		t.Run("test", func(t *testing.T) {
			*seed = s
			first, second = Random(t).Uint64(), Random(t).Uint64()
		})
		return first, second
	}
	a, b := draw(42)
	if c, d := draw(42); a == b || c != a || d != b {
		t.Errorf("drew %d and %d, then %d and %d", a, b, c, d)
	}
	if c, _ := draw(43); c == a {
		t.Errorf("drew %d with another seed, too", c)
	}
	e, _ := draw(0)
	if f, _ := draw(0); e == f {
		t.Errorf("drew %d twice without a seed", e)
	}
}

// The next process is needed only after one that could not clean up.
func TestNeedsTheNext(t *testing.T) {
	h := broken(t)
	a := h.Start()
	a.Lock().Granted()
	a.MustUnlock()
	if h.needsTheNext() {
		t.Error("a worker that has released leaves something to the next")
	}
	for what, spoil := range map[string]func(h *Harness, w *Process){
		"killed":  func(_ *Harness, w *Process) { w.Kill() },
		"stopped": func(_ *Harness, w *Process) { w.Stop(); w.Continue() },
		"failed": func(_ *Harness, w *Process) {
			mark := w.Mark()
			w.Tell("cancel", 9)
			w.AwaitKind(mark, Said)
		},
		"spoiled": func(h *Harness, _ *Process) { h.Spoiled = true },
	} {
		h := broken(t)
		if spoil(h, h.Start()); !h.needsTheNext() {
			t.Errorf("%s: nothing is left to the next", what)
		}
	}
}

func TestWorkersEndWithTheHarness(t *testing.T) {
	var p *Process
	t.Run("test", func(t *testing.T) {
		p = broken(t).Start()
		p.Stop()
	})
	select {
	case <-p.ended:
	default:
		t.Error("a stopped worker has outlived its test")
	}
}
