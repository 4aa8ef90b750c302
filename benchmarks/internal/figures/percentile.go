package figures

import (
	"math"
	"slices"
	"time"
)

// Durations are times that percentiles are taken of. They are sorted.
type Durations []time.Duration

// ForP99 is how many there must be for a 99th percentile: of fewer it is the longest.
const ForP99 = 100

// NewDurations sorts d, which it takes over.
func NewDurations(d []time.Duration) Durations {
	slices.Sort(d)
	return d
}

// Percentile returns the smallest of the times that at least p percent are not
// above (the nearest rank; nothing is interpolated). Of no times it is 0.
func (d Durations) Percentile(p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(d))))
	return d[min(max(rank, 1), len(d))-1]
}

// Median is the 50th percentile.
func (d Durations) Median() time.Duration { return d.Percentile(50) }

// Max is the longest of the times.
func (d Durations) Max() time.Duration { return d.Percentile(100) }

// Waits is how long each call of Lock took.
func Waits(samples []Sample) Durations {
	waits := make([]time.Duration, len(samples))
	for i, s := range samples {
		waits[i] = time.Duration(s.Acquired - s.Called)
	}
	return NewDurations(waits)
}

// Cycles is how long each Lock, the section and Unlock took together.
func Cycles(samples []Sample) Durations {
	cycles := make([]time.Duration, len(samples))
	for i, s := range samples {
		cycles[i] = time.Duration(s.Unlocked - s.Called)
	}
	return NewDurations(cycles)
}

// Median returns the middle one of some values, or the mean of the two in the
// middle. Of no values it is NaN.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
