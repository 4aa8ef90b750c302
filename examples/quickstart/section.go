package main

import "time"

// section is one stay under the lock, as its process saw it.
type section struct {
	Process int // 1 for the first process
	Round   int // 1 for its first section

	Ticket int64 // number in line
	Token  int64 // fencing token of the hold
	Number int   // what the file said; the section writes Number+1

	Called     instant // Lock was called
	Registered instant // the ticket was in line
	Acquired   instant // Lock returned
	Released   instant // Unlock was called, or Kill if Killed

	Killed bool // the process was killed before it wrote Number+1
}

// message is what a worker tells its parent.
type message struct {
	Ready   bool     // the worker's first ticket is in line, or it waits for the word to begin
	Holding *section // the worker holds the lock until it is killed
	Done    *section // the worker has left the section
}

// instant is a time in nanoseconds that processes of one machine can compare.
type instant int64

// since is the time from the earlier instant to the later one.
func (later instant) since(earlier instant) time.Duration {
	return time.Duration(later - earlier)
}

// clock tells instants. It asks the wall clock once, which is what processes
// have in common on every operating system, and the monotonic clock from then
// on, so that a wall clock that is set during the run does no harm.
type clock struct{ start time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() instant {
	return instant(c.start.UnixNano()) + instant(time.Since(c.start))
}
