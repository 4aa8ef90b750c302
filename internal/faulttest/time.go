//go:build linux

package faulttest

import (
	"slices"
	"time"

	"github.com/fifolock/fifolock/internal/harness"
)

const (
	// Moment is how long somebody is seen to be still waiting.
	Moment = 100 * time.Millisecond

	// Soon is what a recovery that is to be quick may take on a machine that is
	// busy with something else; the figures are logged.
	Soon = 2 * time.Second

	// LongLease is one that a busy machine does not let run out.
	LongLease = 10 * time.Second
)

// Since is the time between two events.
func Since(from, to harness.Event) time.Duration { return time.Duration(to.At - from.At) }

// Quantiles returns the p50 and p99 of durations.
func Quantiles(durations []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(durations)
	return durations[len(durations)/2], durations[len(durations)*99/100]
}
