//go:build linux

package harness

import (
	"sync/atomic"
	"time"
)

// pulse is when a worker ran. One that gets no time for longer than its lease has lost its
// hold, and if it is killed then, it could not say so. That may be the test's doing, or that
// of a busy machine.
type pulse struct {
	seen    atomic.Int64 // when it ran last; 0 if it has no pulse
	stood   atomic.Int64 // since when it did not run, the last time that it stood
	resumed atomic.Int64 // when it went on after that
}

const (
	pulseInterval = 10 * time.Millisecond

	// leastPause is the least time without a pulse that is called standing. It is shorter
	// than what any lease of a test leaves after a heartbeat.
	leastPause = 50 * time.Millisecond
)

// beat is the pulse of this process. It does not return.
func (p *pulse) beat() {
	for last := Now(); ; {
		p.seen.Store(last)
		time.Sleep(pulseInterval)
		now := Now()
		if now-last >= int64(leastPause) {
			p.stood.Store(last)
			p.resumed.Store(now)
		}
		last = now
	}
}

// ranUntil is until when a worker could say that it had lost its hold, of one that was
// killed at that time and has said its last word at the other.
func (p *pulse) ranUntil(killed, said int64) int64 {
	seen := p.seen.Load()
	switch {
	case seen == 0:
		return killed
	case killed-seen >= int64(leastPause):
		return seen
	case said < p.resumed.Load() && killed-p.resumed.Load() < int64(leastPause):
		return p.stood.Load() // it went on, but has not come to say anything
	}
	return killed
}
