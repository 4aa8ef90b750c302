package lock

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

const (
	firstPoll = time.Millisecond       // with nothing to wake a waiter
	lastPoll  = time.Second            // where the backoff ends
	firstLine = 25 * time.Millisecond  // how often at least the first in line looks; without a wake-up, times the place in line
	perPlace  = 100 * time.Millisecond // for each place in line, one who will be woken waits that long
	longest   = 5 * time.Second        // but no longer than that; with a lease, than from one heartbeat to the next

	// noPlace is for who is not in line, and any place that far back: the backoff
	// alone counts.
	noPlace = 1000
)

// newBackOff is the backoff between two polls unless WithBackOff gives another.
// It never gives up by itself: MaxElapsedTime is 15 minutes by default, after
// which a waiter would have been turned away.
func newBackOff() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstPoll),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.3),
		backoff.WithMaxInterval(lastPoll),
		backoff.WithMaxElapsedTime(0),
	)
}

// pacer says how long a waiter waits before it looks by itself.
type pacer struct {
	backoff backoff.BackOff
	custom  bool          // the user's backoff: taken as it is, but for busy loops
	watched bool          // a wake-up is to be expected
	longest time.Duration // how long one who will be woken waits at most
}

func (m *Mutex) newPacer(lease time.Duration) *pacer {
	if m.options.newBackOff != nil {
		if b := m.options.newBackOff(); b != nil {
			return &pacer{backoff: b, custom: true}
		}
	}
	p := &pacer{backoff: newBackOff(), longest: longest}
	if lease > 0 {
		p.longest = lease / beatsPerLease
	}
	return p
}

// next returns how long to wait for a wake-up before looking.
//
// The first in line looks often: nothing may tell it that the holder has died,
// and with plain backoff it would be the one who has backed off longest.
//
// One further back who is told by nobody backs off in proportion to its place:
// whatever it has missed, a line of n is through in n times firstLine, and asks
// 40·ln(n) times a second. With plain backoff a line that stood for long goes on
// in fits, one after the other still asleep when its turn comes.
//
// One further back who will be woken looks seldom: what it would see is that it
// is not its turn. So a line of n waiters asks about 10·ln(n) times a second, not
// n times, and still moves by ten places a second if every wake-up is lost. The
// limit is for the one behind a long row of dead, who is told by nobody: it must
// not wait in proportion to their number.
func (p *pacer) next(ahead int) time.Duration {
	d := p.backoff.NextBackOff()
	if d == backoff.Stop {
		// Giving up is the ctx's to say, not the backoff's.
		p.backoff.Reset()
		if d = p.backoff.NextBackOff(); d == backoff.Stop {
			d = lastPoll
		}
	}
	switch {
	case p.custom:
		return max(d, firstPoll) // not a busy loop
	case !p.watched:
		return min(d, places(ahead)*firstLine)
	case ahead <= 1:
		return firstLine
	}
	far := min(p.longest, places(ahead)*perPlace)
	return max(min(d, p.longest), far-rand.N(far/4)) // not all of a burst at once
}

// places is ahead as a factor: a queue of somebody else's may say anything.
func places(ahead int) time.Duration { return time.Duration(min(max(ahead, 1), noPlace)) }

// reset starts the backoff anew, because the line has moved.
func (p *pacer) reset() { p.backoff.Reset() }

// sleep waits for d, or returns ctx's error when it ends before.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
