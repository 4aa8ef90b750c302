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

	// longestNap is below what a timer takes. A nap keeps a thread, and is as short as it says.
	longestNap = time.Millisecond
)

// poll waits between two looks at something of which nothing tells: ever
// longer, and with jitter, so that processes that met once do not meet again.
// Its zero value is ready to use.
type poll struct {
	next time.Duration
}

func (p *poll) wait(ctx context.Context) error {
	p.next = min(max(2*p.next, leastPoll), mostPoll)
	d := p.next/2 + rand.N(p.next)
	if d < longestNap && ctx.Err() == nil && lockedfile.Nap(d) {
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
