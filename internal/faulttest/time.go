//go:build linux

package faulttest

import (
	"slices"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/harness"
)

const (
	// Moment is how long a waiter is seen to be still waiting.
	Moment = 100 * time.Millisecond

	// Soon is what a recovery that is to be quick may take on a machine that is
	// busy with something else; the figures are logged.
	Soon = 2 * time.Second

	// Long is more than anything takes on a busy machine, and less than a call takes
	// that waits for what it must not wait for.
	Long = 20 * time.Second

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

// WithLease makes attempts at something that shows that leases are kept: with this
// lease, and if one ran out with three and with nine times as long. On a machine
// that is busy enough any lease runs out, with every right; where they are not
// kept at all, the longest runs out like the shortest.
//
// attempt reports whether all leases were kept. Before it demands anything that a
// loss would forbid it asks [Kept], and returns what that says.
func WithLease(t *testing.T, lease time.Duration, attempt func(lease time.Duration) (kept bool)) {
	t.Helper()
	for range 3 {
		if attempt(lease) {
			return
		}
		t.Logf("a lease of %v ran out", lease)
		lease *= 3
	}
	t.Error("whatever the lease is, it runs out")
}

// InTheEnd makes attempts at something that is to be quick, three at most. A process that
// has the processor taken away for longer than that is slow, with every right; one that
// waits for what it must not wait for is slow each time.
//
// attempt reports whether it was quick.
func InTheEnd(t *testing.T, attempt func() (quick bool)) {
	t.Helper()
	for range 3 {
		if attempt() {
			return
		}
		t.Log("it was slow")
	}
	t.Error("however often it is tried, it is slow")
}

// Kept reports whether no hold was lost and no waiter evicted: so many calls have
// taken no more tickets than that.
func Kept(h *harness.Harness, calls int) bool {
	return h.Count(harness.Lost) == 0 && h.Count(harness.Registered) <= calls
}

// KeptFor is Kept, all the time for d.
func KeptFor(h *harness.Harness, calls int, d time.Duration) bool {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if !Kept(h, calls) {
			return false
		}
	}
	return true
}
