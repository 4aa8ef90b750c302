//go:build linux

package harness

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is what the detectors have found, and how much they have seen.
type Verdict struct {
	Problems []string

	Grants    int    // holds
	LostHolds int    // of them, lost before Unlock; only where there is a lease
	Failures  int    // calls that returned the backend's error
	Failure   string // one of them
	Stale     int    // writes that the resource refused
	Killed    int    // workers
	Evicted   int    // waiting calls that had to take another ticket
	Undecided int    // 1 if the search took too long that decides whether the journal is linearizable
}

func (v Verdict) String() string {
	s := fmt.Sprintf("%d grants, %d lost, %d workers killed, %d waiters evicted, %d calls failed, %d stale writes refused, %d undecided, %d problems",
		v.Grants, v.LostHolds, v.Killed, v.Evicted, v.Failures, v.Stale, v.Undecided, len(v.Problems))
	if v.Failure != "" {
		s += "; one failed with: " + v.Failure
	}
	return s
}

// mostProblems is how many are printed: where there is one, there are many.
const mostProblems = 20

// Check asks all detectors, and fails the test if one has found something. All
// calls of the living workers must have returned, and all holds be released.
func (h *Harness) Check() Verdict {
	h.tb.Helper()
	v := h.judge()
	h.tb.Logf("%v: %v", h.Spec, v)
	for i, p := range v.Problems {
		if i == mostProblems {
			h.tb.Errorf("and %d more", len(v.Problems)-i)
			break
		}
		h.tb.Error(p)
	}
	return v
}

func (h *Harness) judge() Verdict {
	h.mu.Lock()
	j := journal{killed: make(map[int]int64), leased: h.Spec.Leased() || h.Losses}
	for _, p := range h.processes {
		j.events = append(j.events, p.events...)
		if p.killed != 0 {
			j.killed[p.Number] = p.killed
		}
	}
	h.mu.Unlock()
	h.resource.mu.Lock()
	resource := h.resource.state
	h.resource.mu.Unlock()

	v := Verdict{Problems: j.check(), Killed: len(j.killed), Stale: len(resource.Stale)}
	attempts, _ := j.attempts()
	v.count(attempts, h.Tolerant)
	v.occupancy(attempts)
	v.fencing(attempts, resource)
	counter, err := readCounter(h.path("counter"))
	if err != nil {
		v.problem("the counter: %v", err)
	} else {
		v.counter(attempts, counter)
	}
	switch linearizable(attempts, 20*time.Second) {
	case porcupine.Illegal:
		v.problem("the journal is not linearizable: it is not that of a mutex with ascending tokens")
	case porcupine.Unknown:
		v.Undecided++
	}
	return v
}

func (v *Verdict) problem(format string, args ...any) {
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

func (v *Verdict) count(attempts []*attempt, tolerant bool) {
	for _, a := range attempts {
		if a.granted {
			v.Grants++
		}
		if a.wasLost() {
			v.LostHolds++
		}
		v.Evicted += max(0, len(a.tickets)-1)
		for _, e := range []Event{a.failure, a.released} {
			if a.failed(e) {
				v.Failures++
				v.Failure = e.Error
				if !tolerant {
					v.problem("worker %d, call %d: %s", a.worker, a.call, e.Error)
				}
			}
		}
	}
}

// occupancy judges what the workers have met in the section. A holder that has lost its
// hold may be met. A killed one may be met from then until the slot was cleared.
func (v *Verdict) occupancy(attempts []*attempt) {
	byTicket := make(map[int64]*attempt)
	for _, a := range attempts {
		// The slot is marked before the grant is told: one that is killed in between was
		// met with a ticket of which only the registration is known.
		if n := len(a.tickets); n > 0 && !a.granted && a.killed != 0 {
			byTicket[a.tickets[n-1].Ticket] = a
		}
	}
	for _, a := range attempts {
		if a.granted {
			byTicket[a.ticket] = a
		}
	}
	for _, a := range attempts {
		for _, met := range a.met {
			other := byTicket[met.Other]
			switch {
			case other == nil:
				v.problem("worker %d, in the section with ticket %d, met ticket %d, which nobody was granted", a.worker, a.ticket, met.Other)
			case a.wasLost() || other.wasLost():
			case other.killed != 0 && other.releasing == 0 && met.At > other.killed:
			default:
				v.problem("worker %d, in the section with ticket %d, met worker %d with ticket %d", a.worker, a.ticket, other.worker, met.Other)
			}
		}
	}
}

// fencing judges what came to the resource. Only a holder that has lost its hold, or was
// killed, may be late.
func (v *Verdict) fencing(attempts []*attempt, r resourceState) {
	excused := make(map[int64]bool)
	for _, a := range attempts {
		excused[a.ticket] = a.wasLost() || a.killed != 0
	}
	for _, s := range r.Stale {
		if !excused[s.Token] {
			v.problem("worker %d came to the resource with token %d when it had seen %d", s.Worker, s.Token, s.Highest)
		}
	}
	if r.EqualFromOther > 0 {
		v.problem("%d times the resource got the same token from two holders", r.EqualFromOther)
	}
	if r.Value != int64(r.Accepted) {
		v.problem("the resource has accepted %d writes and stores %d: an update was lost in spite of the tokens", r.Accepted, r.Value)
	}
}

// counter judges the counter that only the lock protects. Where a hold was lost, it
// proves nothing. A worker that was killed in the section may have counted.
func (v *Verdict) counter(attempts []*attempt, n int64) {
	certain, possible := int64(0), int64(0)
	for _, a := range attempts {
		switch {
		case a.wasLost():
			return
		case a.wrote:
			certain++
		case a.granted && a.killed != 0:
			possible++
		}
	}
	if n < certain || n > certain+possible {
		v.problem("the counter is %d, want %d, and at most %d more of the killed: an update was lost", n, certain, possible)
	}
}
