package figures

import "time"

// HandOffs is the time from each call of Unlock to the return of the next Lock,
// of any caller. Samples must be of a lock that at least one always waited for;
// the call that gets it may have come after others. waited has only those to a
// call that had come before Unlock was called: the rest went to one that came
// just then, most often from the goroutine that unlocked.
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
