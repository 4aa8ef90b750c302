// Package figures makes figures of what was measured: percentiles, fairness,
// overtakes.
package figures

import (
	"cmp"
	"slices"
	"time"
)

// Sample is one Lock and Unlock of one waiter. Times are in nanoseconds of
// package clock.
type Sample struct {
	Waiter    int
	Called    int64 // Lock was called
	Arrived   int64 // the lock knew of the call; 0 if that cannot be seen
	Acquired  int64 // Lock returned
	Unlocking int64 // Unlock was called
	Unlocked  int64 // Unlock returned
}

// Unseen is how long after its call a waiter is taken to have arrived, where that cannot
// be seen. It is longer than these locks need for it, also on a machine with more to do
// than it can: no lock is charged with an overtake of a waiter that had not arrived.
// Overtakes within that time go uncounted.
const Unseen = 10 * time.Millisecond

// arrived is when the lock knew of the call at the latest.
func (s Sample) arrived() int64 {
	if s.Arrived != 0 {
		return s.Arrived
	}
	return s.Called + int64(Unseen)
}

// byGrant returns the samples in the order in which they got the lock.
func byGrant(samples []Sample) []Sample {
	sorted := slices.Clone(samples)
	slices.SortFunc(sorted, func(a, b Sample) int { return cmp.Compare(a.Acquired, b.Acquired) })
	return sorted
}
