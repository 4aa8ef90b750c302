package figures

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// MostHolders is how many held at once, at most: from the return of Lock to the
// call of Unlock. tolerance is how far the clocks of the samples may be apart.
func MostHolders(samples []Sample, tolerance time.Duration) (most int) {
	type change struct {
		at int64
		by int
	}
	var changes []change
	for _, s := range samples {
		if from := s.Acquired + int64(tolerance); from < s.Unlocking {
			changes = append(changes, change{from, 1}, change{s.Unlocking, -1})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
	holders := 0
	for _, c := range changes {
		holders += c.by
		most = max(most, holders)
	}
	return most
}

// CheckExclusion returns an error if more held at once than may.
func CheckExclusion(samples []Sample, may int, tolerance time.Duration) error {
	if may > 1 {
		if most := MostHolders(samples, tolerance); most > may {
			return fmt.Errorf("%d held at once, and %d may", most, may)
		}
		return nil
	}
	// Of a section of no length, only the order of the grants can tell.
	sorted := byGrant(samples)
	for i := 1; i < len(sorted); i++ {
		before, after := sorted[i-1], sorted[i]
		if early := time.Duration(before.Unlocking - after.Acquired); early > tolerance {
			return fmt.Errorf("two had the lock at once: waiter %d got it %v before waiter %d unlocked it", after.Waiter, early, before.Waiter)
		}
	}
	return nil
}
