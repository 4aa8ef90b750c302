package main

import "time"

// clock tells instants. It asks the wall clock once, which is what processes
// have in common on every operating system, and the monotonic clock from then
// on, so that a wall clock that is set during the run does no harm.
type clock struct{ start time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() instant {
	return instant(c.start.UnixNano()) + instant(time.Since(c.start))
}

// since is the time from the earlier instant to the later one.
func (later instant) since(earlier instant) time.Duration {
	return time.Duration(later - earlier)
}
