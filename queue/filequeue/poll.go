package filequeue

import (
	"context"
	"math/rand/v2"
	"time"
)

// The seq lock is held for some 20 µs at a time, so the first polls are close.
const (
	leastPoll = 20 * time.Microsecond
	mostPoll  = 5 * time.Millisecond
)

// poll waits between two looks at something that nobody tells about: ever
// longer, and with jitter, so that processes that met once do not meet again.
// Its zero value is ready to use.
type poll struct {
	next time.Duration
}

func (p *poll) wait(ctx context.Context) error {
	p.next = min(max(2*p.next, leastPoll), mostPoll)
	timer := time.NewTimer(p.next/2 + rand.N(p.next))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
