package figures

import (
	"fmt"
	"time"
)

// HandOffs is the time from each call of Unlock to the return of the next
// Lock, whoever called it and when. Samples must be of a lock that somebody
// always waited for; the one who gets it may have come after others. waited has
// only those to somebody who had called Lock before Unlock was called: the rest
// went to one who came just then, which is most often the one who unlocked.
func HandOffs(samples []Sample) (all, waited Durations) {
	sorted := byGrant(samples)
	for i := 1; i < len(sorted); i++ {
		before, after := sorted[i-1], sorted[i]
		took := time.Duration(after.Acquired - before.Unlocking)
		all = append(all, took)
		if after.Called < before.Unlocking {
			waited = append(waited, took)
		}
	}
	return NewDurations(all), NewDurations(waited)
}

// CheckExclusion returns an error if somebody got the lock before the one who
// had it began to unlock it. tolerance is how far the clocks of the samples may
// be apart.
func CheckExclusion(samples []Sample, tolerance time.Duration) error {
	sorted := byGrant(samples)
	for i := 1; i < len(sorted); i++ {
		before, after := sorted[i-1], sorted[i]
		if early := time.Duration(before.Unlocking - after.Acquired); early > tolerance {
			return fmt.Errorf("two had the lock at once: waiter %d got it %v before waiter %d unlocked it", after.Waiter, early, before.Waiter)
		}
	}
	return nil
}
