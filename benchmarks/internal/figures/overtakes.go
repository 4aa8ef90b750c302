package figures

import (
	"cmp"
	"slices"
	"sort"
)

// Overtakes says how often a waiter was served before one that had come
// earlier.
type Overtakes struct {
	Pairs  int // of a call that overtook and one that was overtaken
	Grants int // that overtook at least one other
}

// CountOvertakes counts overtakes in line: B overtakes A if A had arrived before
// B called Lock, and B got the lock first. So two that come at about the same
// time never overtake each other, whichever is served first: their calls overlap
// with their arrivals.
func CountOvertakes(samples []Sample) Overtakes { return count(passed(samples, Sample.arrived)) }

// CountOvertakesFromCall counts overtakes with the way into the line: B
// overtakes A if A had called Lock before B called it, and B got the lock first.
// Calls of different processes that come within a microsecond may be counted the
// wrong way round.
func CountOvertakesFromCall(samples []Sample) Overtakes { return count(passed(samples, called)) }

// CountOvertakesOfMany counts overtakes in line where n may hold at once: B
// overtakes A if, besides, there was no permit left for A when B got its own. For
// those that hold a permit, but have not run since, are not overtaken.
func CountOvertakesOfMany(samples []Sample, n int) Overtakes {
	sorted := byGrant(samples)
	ends := make([]int64, len(sorted))
	for i, s := range sorted {
		ends[i] = s.Unlocking
	}
	slices.Sort(ends)
	passed := passed(samples, Sample.arrived)
	for i, s := range sorted {
		ended := sort.Search(len(ends), func(j int) bool { return ends[j] > s.Acquired })
		holders := i + 1 - ended
		passed[i] = min(passed[i], max(0, passed[i]+holders-n))
	}
	return count(passed)
}

// OvertakenBy is by how many calls each of the samples was overtaken in line.
func OvertakenBy(samples []Sample) []int { return overtakenBy(samples, Sample.arrived) }

// OvertakenByFromCall is the same with the way into the line.
func OvertakenByFromCall(samples []Sample) []int { return overtakenBy(samples, called) }

func called(s Sample) int64 { return s.Called }

func count(passed []int) (o Overtakes) {
	for _, n := range passed {
		o.Pairs += n
		if n > 0 {
			o.Grants++
		}
	}
	return o
}

// passed is how many that had come earlier each grant was before, in the order of
// the grants. It takes n log n steps.
func passed(samples []Sample, came func(Sample) int64) []int {
	times := make([]int64, len(samples))
	for i, s := range samples {
		times[i] = came(s)
	}
	slices.Sort(times)

	// From the last grant to the first: those seen so far were served later.
	sorted := byGrant(samples)
	passed := make([]int, len(sorted))
	servedLater := newCounts(len(times))
	for i := len(sorted) - 1; i >= 0; i-- {
		earlier, _ := slices.BinarySearch(times, sorted[i].Called) // how many had come before the call
		passed[i] = servedLater.below(earlier)
		place, _ := slices.BinarySearch(times, came(sorted[i]))
		servedLater.add(place)
	}
	return passed
}

// overtakenBy is the other side of passed, in the order of the samples.
func overtakenBy(samples []Sample, came func(Sample) int64) []int {
	calls := make([]int64, len(samples))
	order := make([]int, len(samples)) // of grants, as indices of samples
	for i, s := range samples {
		calls[i], order[i] = s.Called, i
	}
	slices.Sort(calls)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(samples[a].Acquired, samples[b].Acquired) })

	by := make([]int, len(samples))
	served := newCounts(len(calls))
	for granted, i := range order {
		notLater := sort.Search(len(calls), func(j int) bool { return calls[j] > came(samples[i]) })
		by[i] = granted - served.below(notLater)
		place, _ := slices.BinarySearch(calls, samples[i].Called)
		served.add(place)
	}
	return by
}

// counts is a Fenwick tree: how many were added at places below another, in
// log n steps.
type counts []int

func newCounts(n int) counts { return make(counts, n+1) }

func (c counts) add(place int) {
	for i := place + 1; i < len(c); i += i & -i {
		c[i]++
	}
}

func (c counts) below(place int) (n int) {
	for i := place; i > 0; i -= i & -i {
		n += c[i]
	}
	return n
}
