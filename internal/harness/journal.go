//go:build linux

package harness

import (
	"cmp"
	"fmt"
	"slices"
)

// journal is everything that was told, in order, with what the parent knows.
type journal struct {
	events []Event
	killed map[int]int64 // by worker: just before it was killed
	leased bool          // a hold can be lost
}

// attempt is a call of Lock or TryLock, and the hold that came of it.
type attempt struct {
	worker int
	call   int64

	called    int64
	tickets   []Event // Registered: more than one if it was evicted
	returned  int64   // granted, busy or cancelled; 0: it did not return
	granted   bool
	ticket    int64 // of the hold
	failure   Event // Cancelled
	releasing int64 // 0: Unlock was not called
	released  Event
	lost      int64 // when the channel was closed; 0 if it was not
	wrote     bool
	met       []Event
	killed    int64 // when the worker was, if it was
}

// wasLost reports whether the hold had ended before Unlock.
func (a *attempt) wasLost() bool { return a.lost != 0 || a.released.Cause == CauseLost }

// failed reports whether what a call has returned is an error that no caller asked for. A
// ctx ends by the test's will in a call that the test has made, but in none of Run, and
// Unlock has none.
func (a *attempt) failed(e Event) bool {
	switch e.Cause {
	case None:
		return false
	case CauseLost:
		return e.Kind != Released
	case Canceled, DeadlinePast:
		return e.Kind == Released || a.call < firstCall
	}
	return true
}

// end is until when at least the holder relied on the lock. A killed holder was
// alive until it was killed.
func (a *attempt) end() int64 {
	switch {
	case a.releasing != 0:
		return a.releasing
	case a.killed != 0:
		return a.killed
	}
	return 1<<63 - 1
}

// attempts puts together what belongs together, in the order of the calls.
func (j *journal) attempts() ([]*attempt, []string) {
	type key struct {
		worker int
		call   int64
	}
	all := make(map[key]*attempt)
	var problems []string
	for _, e := range j.events {
		if e.Kind == Ready || e.Kind == Done || e.Kind == Said {
			continue
		}
		k := key{e.Worker, e.Call}
		a := all[k]
		if a == nil {
			a = &attempt{worker: e.Worker, call: e.Call, killed: j.killed[e.Worker]}
			all[k] = a
		}
		if e.Kind != Called && a.called == 0 && e.Call != 0 {
			problems = append(problems, fmt.Sprintf("worker %d: call %d was %s before it was called", e.Worker, e.Call, e.Kind))
		}
		a.note(e)
	}
	var sorted []*attempt
	for k, a := range all {
		if k.call != 0 { // Unlock without a hold
			sorted = append(sorted, a)
		}
	}
	slices.SortFunc(sorted, func(a, b *attempt) int { return cmp.Compare(a.called, b.called) })
	return sorted, problems
}

func (a *attempt) note(e Event) {
	switch e.Kind {
	case Called:
		a.called = e.At
	case Registered:
		a.tickets = append(a.tickets, e)
	case Granted:
		a.returned, a.granted, a.ticket = e.At, true, e.Ticket
	case Busy:
		a.returned = e.At
	case Cancelled:
		a.returned, a.failure = e.At, e
	case Met:
		a.met = append(a.met, e)
	case Wrote:
		a.wrote = true
	case Lost:
		a.lost = e.At
	case Releasing:
		a.releasing = e.At
	case Released:
		a.released = e
	}
}

// check returns every way in which the journal is not that of a fair lock.
func (j *journal) check() []string {
	attempts, problems := j.attempts()
	problems = append(problems, overlaps(attempts)...)
	problems = append(problems, order(attempts)...)
	problems = append(problems, doorway(attempts)...)
	problems = append(problems, ends(attempts, j.leased)...)
	return problems
}

// holds returns the attempts that owned the lock and did not lose it, in the order in
// which they got it.
func holds(attempts []*attempt) []*attempt {
	var held []*attempt
	for _, a := range attempts {
		if a.granted && !a.wasLost() {
			held = append(held, a)
		}
	}
	slices.SortFunc(held, func(a, b *attempt) int { return cmp.Compare(a.returned, b.returned) })
	return held
}

// overlaps finds two attempts that relied on the lock at the same time.
func overlaps(attempts []*attempt) (problems []string) {
	var before *attempt // the one that ended last so far
	for _, a := range holds(attempts) {
		if before != nil && a.returned < before.end() {
			problems = append(problems, fmt.Sprintf(
				"worker %d was granted ticket %d at %d while worker %d held ticket %d until %d",
				a.worker, a.ticket, a.returned, before.worker, before.ticket, before.end()))
		}
		if before == nil || a.end() > before.end() {
			before = a
		}
	}
	return problems
}

// order finds grants that are not in the order of the tickets.
func order(attempts []*attempt) (problems []string) {
	var before *attempt
	for _, a := range holds(attempts) {
		if before != nil && a.ticket <= before.ticket {
			problems = append(problems, fmt.Sprintf("ticket %d of worker %d was granted after ticket %d of worker %d",
				a.ticket, a.worker, before.ticket, before.worker))
		}
		before = a
	}
	return problems
}

// doorway finds a call that came when another had its ticket already, and got a
// lower number.
func doorway(attempts []*attempt) (problems []string) {
	var tickets []Event
	for _, a := range attempts {
		tickets = append(tickets, a.tickets...)
	}
	slices.SortFunc(tickets, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	highest := Event{} // of those registered before the call
	next := 0
	for _, a := range attempts { // in the order of the calls
		for ; next < len(tickets) && tickets[next].At < a.called; next++ {
			if tickets[next].Ticket > highest.Ticket {
				highest = tickets[next]
			}
		}
		for _, t := range a.tickets {
			if t.Ticket <= highest.Ticket {
				problems = append(problems, fmt.Sprintf(
					"worker %d called at %d and got ticket %d, when worker %d had ticket %d since %d",
					a.worker, a.called, t.Ticket, highest.Worker, highest.Ticket, highest.At))
			}
		}
	}
	return problems
}

// ends finds calls without an end, and holds with an end that is none.
func ends(attempts []*attempt, leased bool) (problems []string) {
	for _, a := range attempts {
		problem := ""
		switch {
		case a.killed != 0:
		case a.returned == 0:
			problem = "Lock has not returned"
		case a.granted && a.released.Kind == "":
			problem = "the hold was not released"
		}
		switch {
		case a.wasLost() && !leased:
			problem = "the hold was lost, which no living owner's can be: " + a.released.Error
		case a.granted && !slices.ContainsFunc(a.tickets, func(e Event) bool { return e.Ticket == a.ticket }):
			problem = "the hold's ticket is not one of the call's"
		}
		if problem != "" {
			problems = append(problems, fmt.Sprintf("worker %d, call %d, ticket %d: %s", a.worker, a.call, a.ticket, problem))
		}
	}
	return problems
}
