package figures

import (
	"slices"
	"sort"
	"time"
)

// Overtakes says how often a waiter was served before one that had come
// earlier.
type Overtakes struct {
	Pairs  int // of a call that overtook and one that was overtaken
	Grants int // that overtook at least one other
	Most   int // how many overtook the call that was overtaken most
}

// CountOvertakes counts overtakes in line: B overtakes A if A had arrived before
// B called Lock, and B got the lock first. So two that come at about the same
// time never overtake each other, whichever is served first: their calls overlap
// with their arrivals.
func CountOvertakes(samples []Sample) Overtakes {
	return countOvertakes(samples, Sample.arrived, 0)
}

// CountOvertakesFromCall counts overtakes with the way into the line: B
// overtakes A if A had called Lock before B called it, and B got the lock first.
// Calls of different processes that come within a microsecond may be counted the
// wrong way round.
func CountOvertakesFromCall(samples []Sample) Overtakes {
	return countOvertakes(samples, func(s Sample) int64 { return s.Called }, 0)
}

// CountOvertakesOfMany counts overtakes in line where several may hold at once:
// those that were granted within apart of each other may return from Acquire in
// any order, as the processors come to them, and count as granted at once.
func CountOvertakesOfMany(samples []Sample, apart time.Duration) Overtakes {
	return countOvertakes(samples, Sample.arrived, apart)
}

// OvertakenBy is by how many calls each of the samples was overtaken in line.
func OvertakenBy(samples []Sample) []int { return overtakenBy(samples, Sample.arrived, 0) }

func countOvertakes(samples []Sample, arrived func(Sample) int64, apart time.Duration) (o Overtakes) {
	for _, n := range overtakenBy(samples, arrived, apart) {
		o.Pairs += n
		o.Most = max(o.Most, n)
	}
	sorted := byGrant(samples)
	// firstOf[i] is the earliest arrival of those granted as the i-th or later.
	firstOf := make([]int64, len(sorted)+1)
	firstOf[len(sorted)] = int64(^uint64(0) >> 1)
	for i := len(sorted) - 1; i >= 0; i-- {
		firstOf[i] = min(firstOf[i+1], arrived(sorted[i]))
	}
	for _, s := range sorted {
		later := sort.Search(len(sorted), func(i int) bool { return sorted[i].Acquired > s.Acquired+int64(apart) })
		if firstOf[later] < s.Called {
			o.Grants++
		}
	}
	return o
}

// overtakenBy takes n log n steps.
func overtakenBy(samples []Sample, arrived func(Sample) int64, apart time.Duration) []int {
	calls := make([]int64, len(samples))
	for i, s := range samples {
		calls[i] = s.Called
	}
	slices.Sort(calls)
	place := func(at int64) int { return sort.Search(len(calls), func(i int) bool { return calls[i] > at }) }

	sorted := byGrant(samples)
	order := make([]int, len(samples)) // of grants, as indices of samples
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(samples[a].Acquired - samples[b].Acquired) })

	by := make([]int, len(samples))
	served, granted := newCounts(len(calls)), 0
	for _, i := range order {
		for granted < len(sorted) && sorted[granted].Acquired+int64(apart) < samples[i].Acquired {
			served.add(place(sorted[granted].Called) - 1)
			granted++
		}
		by[i] = granted - served.below(place(arrived(samples[i])))
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
