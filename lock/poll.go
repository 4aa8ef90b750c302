package lock

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/fifolock/fifolock/queue"
)

const (
	firstPoll = time.Millisecond // the shortest, and where the backoff begins
	lastPoll  = time.Second      // where the backoff ends

	// Of a waiter that nothing is known to wake.
	nextToOwn = 25 * time.Millisecond // how often at least the first in line looks; others, times their place
	perPlace  = 100 * time.Millisecond

	// Of a waiter that relies on being woken (see queue.Place.Recheck).
	missed         = time.Second     // how often the first in line looks for a wake-up that was lost
	missedPerPlace = time.Second     // how often the others do, for each place
	longest        = 5 * time.Second // the longest time between two looks of the others; without a lease, Recheck if that is longer
	looksPerLease  = 3               // with a lease, the others look at least this often in its length
	longestSure    = time.Minute     // the longest time of the others without a lease, however long Recheck is

	// farthest is any place that far back.
	farthest = 1000
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

// pollInterval says how long a waiter waits before it looks by itself.
type pollInterval struct {
	backoff backoff.BackOff
	custom  bool          // the user's backoff: taken as it is, but for busy loops
	limit   time.Duration // of a waiter that relies on being woken
}

// newPollInterval makes the one of a wait with a ticket. newCustom is what WithBackOff was
// given, or nil.
func newPollInterval(newCustom func() backoff.BackOff, lease time.Duration) *pollInterval {
	if newCustom != nil {
		if custom := newCustom(); custom != nil {
			return &pollInterval{backoff: custom, custom: true}
		}
	}
	p := &pollInterval{backoff: newBackOff(), limit: longestSure}
	if lease > 0 {
		p.limit = min(longest, lease/looksPerLease)
	}
	return p
}

// first returns how long to wait before the first look. Without a wake-up to
// listen to, the line may have moved already.
func (p *pollInterval) first(ahead int, watched bool) time.Duration {
	switch {
	case !watched:
		return 0
	case p.custom:
		return p.step()
	case ahead <= 1:
		return nextToOwn
	}
	return jitter(min(p.limit, longest, places(ahead)*perPlace))
}

// next returns how long to wait for a wake-up before looking again.
//
// A waiter that is woken by nothing backs off in proportion to its place: whatever
// it has missed, a line of n is through in n times nextToOwn, and asks 40·ln(n)
// times a second. With plain backoff a line that stood for long goes on in fits,
// one after the other still asleep when its turn comes.
//
// A waiter that relies on being woken looks seldom: what it would see is that it
// is not its turn. The first in line looks when the owner may have died, which it
// may not be told of. So do the others, for the first may have died with it, but
// not all at once. A line of n waiters asks about ln(n) times a second, and still
// moves by one place a second if every wake-up is lost. The limit is for the one
// behind a long row of dead, which is told by nothing: it must not wait in
// proportion to their number. Without leases none dies unseen, and a queue whose
// waiters wake each other says so by its Recheck: thousands cost nothing then (K60).
func (p *pollInterval) next(place queue.Place, watched bool) time.Duration {
	d := p.step()
	switch {
	case p.custom:
		return d
	case !watched || place.Recheck <= 0:
		return min(d, places(place.Ahead)*nextToOwn)
	case place.Ahead <= 1:
		return max(min(place.Recheck, missed), firstPoll)
	}
	seldom := min(places(place.Ahead)*missedPerPlace, place.Recheck)
	limit := min(p.limit, max(longest, place.Recheck))
	return max(firstPoll, jitter(min(limit, max(seldom, places(place.Ahead)*nextToOwn))))
}

// step asks the backoff. Giving up is the ctx's to say, not the backoff's.
func (p *pollInterval) step() time.Duration {
	d := p.backoff.NextBackOff()
	if d == backoff.Stop {
		p.backoff.Reset()
		if d = p.backoff.NextBackOff(); d == backoff.Stop {
			d = lastPoll
		}
	}
	return max(d, firstPoll) // not a busy loop
}

// reset starts the backoff anew, because the line has moved.
func (p *pollInterval) reset() { p.backoff.Reset() }

// places is ahead as a factor: a queue may say anything.
func places(ahead int) time.Duration { return time.Duration(min(max(ahead, 1), farthest)) }

// jitter spreads a burst of waiters.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/4+1) }

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
