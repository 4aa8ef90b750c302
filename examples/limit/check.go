package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fifolock/fifolock/examples/internal/verdict"
)

// observation is all that was seen in a run.
type observation struct {
	settings settings
	calls    []call // in the order in which they began
	killedAt time.Time
	allAgain time.Time // when all permits were in use again after the kill
	left     []string  // what the queue left behind
}

// check judges a run.
func check(o *observation) []verdict.Check {
	return []verdict.Check{
		checkServed(o),
		checkLimit(o),
		checkOrder(o),
		checkTokens(o),
		checkRecovery(o),
		verdict.LeftBehind(o.left),
	}
}

// checkServed: every process was served.
func checkServed(o *observation) verdict.Check {
	served := make([]int, o.settings.procs)
	for _, c := range o.calls {
		served[c.Process-1]++
	}
	c := verdict.Check{What: "served"}
	if least := slices.Min(served); least == 0 {
		c.Wrong = fmt.Sprintf("process %d was never served", slices.Index(served, 0)+1)
	}
	killed := served[victim-1]
	lived := slices.Delete(served, victim-1, victim)
	c.Seen = fmt.Sprintf("%d calls: %d of process %d, and %d to %d of the others", len(o.calls), killed, victim, slices.Min(lived), slices.Max(lived))
	return c
}

// checkLimit: there were never more calls at a time than there may be, and as many
// as that.
func checkLimit(o *observation) verdict.Check {
	most := 0
	for _, c := range o.calls {
		most = max(most, o.atATime(c.began))
	}
	limit := o.settings.max
	c := verdict.Check{What: "limit", Seen: fmt.Sprintf("never more than %d calls at a time, and as many as that", limit)}
	if most != limit {
		c.Wrong = fmt.Sprintf("there were %d calls at a time, and %d may be", most, limit)
	}
	return c
}

// atATime is how many calls there were at that time.
func (o *observation) atATime(at time.Time) (n int) {
	for _, c := range o.calls {
		if !c.began.After(at) && c.ended.After(at) {
			n++
		}
	}
	return n
}

// checkOrder: a call is let in when fewer than the limit have come before it and
// have not ended. One that is still waiting when a later one is let in has not
// ended either.
func checkOrder(o *observation) verdict.Check {
	c := verdict.Check{What: "order", Seen: "let in by the order of arrival: none went past one that waited"}
	late := 0
	for _, later := range o.calls {
		before := 0
		for _, earlier := range o.calls {
			if earlier.Token < later.Token && earlier.ended.After(later.began) {
				before++
			}
		}
		if before >= o.settings.max {
			late++
		}
	}
	if late > 0 {
		c.Wrong = fmt.Sprintf("%d were let in while as many as may be had come earlier and were not done", late)
	}
	return c
}

// checkTokens: every permit has a token of its own.
func checkTokens(o *observation) verdict.Check {
	c := verdict.Check{What: "tokens", Seen: "each permit has its own"}
	tokens := slices.Clone(o.calls)
	slices.SortFunc(tokens, func(a, b call) int { return cmp.Compare(a.Token, b.Token) })
	for i, t := range tokens {
		if t.Token <= 0 || i > 0 && t.Token == tokens[i-1].Token {
			c.Wrong = fmt.Sprintf("token %d of process %d is not its own", t.Token, t.Process)
		}
	}
	return c
}

// checkRecovery: a process was killed in the middle of a call, and its permits were
// given back.
func checkRecovery(o *observation) verdict.Check {
	c := verdict.Check{What: "kill -9"}
	lost := 0
	for _, call := range o.calls {
		if call.killed {
			lost++
		}
	}
	switch {
	case o.killedAt.IsZero():
		c.Wrong = "no process was killed"
	case o.allAgain.IsZero():
		c.Wrong = fmt.Sprintf("process %d killed with %d permits, and they were not in use again", victim, lost)
	default:
		c.Seen = fmt.Sprintf("process %d killed with %d of %d permits; all in use again after %.1f ms",
			victim, lost, o.settings.max, float64(o.allAgain.Sub(o.killedAt))/float64(time.Millisecond))
	}
	return c
}

// chartStep is how much time a character of the chart stands for.
const chartStep = 50 * time.Millisecond

// chart shows how many calls there were at a time, a character for each step: a
// digit, or + for more than 9; ! is where the process was killed.
func (o *observation) chart() string {
	if len(o.calls) == 0 {
		return ""
	}
	var text strings.Builder
	last := slices.MaxFunc(o.calls, func(a, b call) int { return a.ended.Compare(b.ended) }).ended
	for at := o.calls[0].began.Add(chartStep / 2); at.Before(last); at = at.Add(chartStep) {
		if !o.killedAt.IsZero() && !at.Before(o.killedAt) && at.Add(-chartStep).Before(o.killedAt) {
			text.WriteByte('!')
		}
		if n := o.atATime(at); n > 9 {
			text.WriteByte('+')
		} else {
			fmt.Fprint(&text, n)
		}
	}
	return text.String()
}
