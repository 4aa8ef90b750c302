package figures

import (
	"cmp"
	"slices"
)

// Overtakes says how often somebody was served before one who had come
// earlier.
//
// B overtakes A if A had arrived before B called Lock, and B got the lock
// first. So two who come at about the same time never overtake each other,
// whichever is served first: their calls overlap with their arrivals.
type Overtakes struct {
	Pairs  int // of one who overtook and one who was overtaken
	Grants int // that overtook at least one other
}

// CountOvertakes counts them in n log n steps.
func CountOvertakes(samples []Sample) Overtakes {
	arrivals := make([]int64, len(samples))
	for i, s := range samples {
		arrivals[i] = s.arrived()
	}
	slices.Sort(arrivals)

	// From the last grant to the first: those seen so far were served later.
	sorted := byGrant(samples)
	slices.Reverse(sorted)
	servedLater := newCounts(len(arrivals))
	var o Overtakes
	for _, s := range sorted {
		earlier, _ := slices.BinarySearch(arrivals, s.Called) // how many had arrived before the call
		if overtaken := servedLater.below(earlier); overtaken > 0 {
			o.Pairs += overtaken
			o.Grants++
		}
		place, _ := slices.BinarySearchFunc(arrivals, s.arrived(), cmp.Compare[int64])
		servedLater.add(place)
	}
	return o
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
