//go:build linux

package faulttest

import (
	"context"
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

// InTheEnd makes attempts at something that is to be quick, three at most. It is slow with
// every right only while the processor is taken away, which this process sees by its own
// timer: where that was never late, to be slow once is an error.
//
// attempt reports whether it was quick.
func InTheEnd(t *testing.T, attempt func() (quick bool)) {
	t.Helper()
	for range 3 {
		latest := watchTimer(t.Context())
		quick := attempt()
		late := latest()
		switch {
		case quick:
			return
		case late < Soon/2:
			t.Errorf("it was slow, though this machine was not: no timer was late by more than %v", late)
			return
		}
		t.Logf("it was slow, and a timer was late by %v", late)
	}
	t.Error("however often it is tried, it is slow")
}

// watchTimer sets a timer again and again. latest ends that, and returns by how much it was
// late at most.
func watchTimer(ctx context.Context) (latest func() time.Duration) {
	const every = 5 * time.Millisecond
	end, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		late := time.Duration(0)
		for last := time.Now(); ; {
			select {
			case <-time.After(every):
				late = max(late, time.Since(last)-every)
				last = time.Now()
			case <-end:
				result <- max(late, time.Since(last)-every)
				return
			case <-ctx.Done(): // the attempt has ended the test
				return
			}
		}
	}()
	return func() time.Duration {
		close(end)
		return <-result
	}
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
