package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fifolock/fifolock/examples/internal/verdict"
)

// check judges a run. The order of the sections in o does not matter; it sorts
// them into the order in which they were served.
func check(o *observation) []verdict.Check {
	slices.SortFunc(o.sections, func(a, b section) int { return cmp.Compare(a.Acquired, b.Acquired) })
	return []verdict.Check{
		checkAllServed(o),
		checkExclusion(o.sections),
		checkOrder(o.sections),
		checkTokens(o.sections),
		checkNumber(o),
		checkRecovery(o.sections),
		verdict.LeftBehind(o.left),
	}
}

// checkAllServed: every process was served as often as it was asked to.
func checkAllServed(o *observation) verdict.Check {
	c := verdict.Check{What: "served", Seen: fmt.Sprintf("%d tickets of %d processes", len(o.sections), o.settings.procs)}
	served := make([]int, o.settings.procs+1)
	for _, s := range o.sections {
		served[s.Process]++
	}
	for process := 1; process <= o.settings.procs; process++ {
		want := o.settings.rounds
		if process == o.settings.victim() {
			want = o.settings.lastRound()
		}
		if served[process] != want {
			c.Wrong = fmt.Sprintf("process %d was served %d times instead of %d", process, served[process], want)
		}
	}
	return c
}

// checkExclusion: no process gets the lock before the one before it has let
// go, or was killed.
func checkExclusion(sections []section) verdict.Check {
	c := verdict.Check{What: "exclusion", Seen: "never two in the section"}
	for i := 1; i < len(sections); i++ {
		before, s := sections[i-1], sections[i]
		if s.Acquired < before.Released {
			c.Wrong = fmt.Sprintf("process %d got the lock %v before process %d let go of it",
				s.Process, before.Released.since(s.Acquired), before.Process)
		}
	}
	return c
}

// checkOrder: tickets are numbered in the order of arrival, and served in the
// order of their numbers.
func checkOrder(sections []section) verdict.Check {
	served, arrived := overtakes(sections), misnumbered(sections)
	c := verdict.Check{What: "order", Seen: fmt.Sprintf("served in the order of arrival, %d overtakes", served)}
	switch {
	case served > 0:
		c.Wrong = fmt.Sprintf("%d were served after one that came later", served)
	case arrived > 0:
		c.Wrong = fmt.Sprintf("%d have a lower number than one that was in line before they came", arrived)
	}
	return c
}

// overtakes counts the sections that were served after a higher number.
func overtakes(sections []section) int {
	var count int
	var highest int64
	for _, s := range sections {
		if s.Ticket < highest {
			count++
		}
		highest = max(highest, s.Ticket)
	}
	return count
}

// misnumbered counts the tickets that are lower than one that was in line when
// their owner called Lock. It compares the numbers with the clock, which the
// lock knows nothing of.
func misnumbered(sections []section) int {
	byCall := slices.SortedFunc(slices.Values(sections), func(a, b section) int { return cmp.Compare(a.Called, b.Called) })
	byArrival := slices.SortedFunc(slices.Values(sections), func(a, b section) int { return cmp.Compare(a.Registered, b.Registered) })
	var count int
	var highest int64 // of those that were in line when s was called
	for _, s := range byCall {
		for len(byArrival) > 0 && byArrival[0].Registered < s.Called {
			highest = max(highest, byArrival[0].Ticket)
			byArrival = byArrival[1:]
		}
		if s.Ticket < highest {
			count++
		}
	}
	return count
}

// checkTokens: each holder's fencing token is higher than all before.
func checkTokens(sections []section) verdict.Check {
	c := verdict.Check{What: "fencing tokens", Seen: "strictly ascending"}
	var highest int64
	for _, s := range sections {
		if s.Token <= highest {
			c.Wrong = fmt.Sprintf("process %d got %d after %d", s.Process, s.Token, highest)
		}
		highest = max(highest, s.Token)
	}
	return c
}

// checkNumber: each section has found what the one before had written. The one
// that was killed had not written yet, so it does not count.
func checkNumber(o *observation) verdict.Check {
	completed := 0
	c := verdict.Check{What: "number in the file"}
	for _, s := range o.sections {
		if s.Number != completed && c.Wrong == "" {
			c.Wrong = fmt.Sprintf("process %d read %d after %d sections", s.Process, s.Number, completed)
		}
		if !s.Killed {
			completed++
		}
	}
	c.Seen = fmt.Sprintf("%d, after %d completed sections: no update lost", o.number, completed)
	if o.number != completed {
		c.Wrong = fmt.Sprintf("it is %d after %d completed sections", o.number, completed)
	}
	return c
}

// checkRecovery: a process was killed while it held the lock, and the next in
// line went on.
func checkRecovery(sections []section) verdict.Check {
	c := verdict.Check{What: "kill -9 of the holder"}
	i := slices.IndexFunc(sections, func(s section) bool { return s.Killed })
	switch {
	case i < 0:
		c.Wrong = "no process was killed"
	case i == len(sections)-1:
		c.Wrong = "no process got the lock after the process that was killed"
	default:
		c.Seen = fmt.Sprintf("process %d killed, process %d next after %s",
			sections[i].Process, sections[i+1].Process, milliseconds(sections[i+1].Acquired.since(sections[i].Released)))
	}
	return c
}

// handOffs are the times from one holder's call of Unlock to the return of the
// next one's Lock, where the next one was in line by then.
func handOffs(sections []section) []time.Duration {
	var times []time.Duration
	for i := 1; i < len(sections); i++ {
		before, s := sections[i-1], sections[i]
		if !before.Killed && s.Registered < before.Released {
			times = append(times, s.Acquired.since(before.Released))
		}
	}
	return times
}
