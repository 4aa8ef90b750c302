package filequeue

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// The seq lock is held for some 30 µs at a time, so the first polls are close.
const (
	leastPoll = 20 * time.Microsecond
	mostPoll  = 5 * time.Millisecond

	// longestNap is below what a timer takes.
	longestNap = time.Millisecond
)

// poll waits between two looks at something of which nothing tells: ever
// longer, and with jitter, so that processes that met once do not meet again.
// Its zero value is ready to use.
type poll struct {
	next        time.Duration
	least, most time.Duration // 0: leastPoll, mostPoll
	nap         bool          // short waits keep a thread, and are as short as they say
}

func (p *poll) wait(ctx context.Context) error {
	if p.most == 0 {
		p.least, p.most = leastPoll, mostPoll
	}
	p.next = min(max(2*p.next, p.least), p.most)
	d := p.next/2 + rand.N(p.next)
	if p.nap && d < longestNap && ctx.Err() == nil && lockedfile.Nap(d) {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
