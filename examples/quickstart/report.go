package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/fifolock/fifolock/examples/internal/verdict"
)

// report prints what was seen in a run that check has put in order.
func report(out io.Writer, o *observation, checks []verdict.Check) {
	fmt.Fprintln(out)
	printServed(out, o.sections)
	fmt.Fprintln(out)
	verdict.Print(out, append(checks,
		verdict.Check{What: "hand-off", Note: true, Seen: summary(handOffs(o.sections))},
		verdict.Check{What: "without a lock", Note: true, Seen: fmt.Sprintf("%v; -nolock shows how", o.without)}))
}

// printServed prints the order of service beside the order of arrival:
// the beginning, and the surroundings of the kill.
func printServed(out io.Writer, sections []section) {
	arrival := make(map[int64]int, len(sections)) // by ticket, 1 for the first
	for i, s := range slices.SortedFunc(slices.Values(sections), byTicket) {
		arrival[s.Ticket] = i + 1
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "served\tcame\tprocess\tround\tticket\twaited\tnumber\t")
	shown := 0
	for i, s := range sections {
		if !worthShowing(sections, i) {
			continue
		}
		if i > shown {
			fmt.Fprintln(table, "...\t\t\t\t\t\t\t")
		}
		shown = i + 1
		fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%d\t%s\t%s\t\n", i+1, arrival[s.Ticket], s.Process, s.Round,
			s.Ticket, milliseconds(s.Acquired.since(s.Called)), effect(s))
	}
	if shown < len(sections) {
		fmt.Fprintln(table, "...\t\t\t\t\t\t\t")
	}
	table.Flush()
}

func byTicket(a, b section) int { return cmp.Compare(a.Ticket, b.Ticket) }

// worthShowing picks the first sections, those around the kill, and the last.
func worthShowing(sections []section, i int) bool {
	const beginning, around, end = 6, 2, 2
	near := sections[max(0, i-around):min(len(sections), i+around+1)]
	return i < beginning || i >= len(sections)-end ||
		slices.ContainsFunc(near, func(s section) bool { return s.Killed })
}

func effect(s section) string {
	if s.Killed {
		return fmt.Sprintf("%d, killed", s.Number)
	}
	return fmt.Sprintf("%d -> %d", s.Number, s.Number+1)
}

// summary says how times are distributed.
func summary(times []time.Duration) string {
	if len(times) == 0 {
		return "none seen"
	}
	slices.Sort(times)
	at := func(percent int) string { return milliseconds(times[(len(times)-1)*percent/100]) }
	return fmt.Sprintf("p50 %s, p99 %s, max %s (Unlock called to the next Lock returned, %d times)",
		at(50), at(99), at(100), len(times))
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
