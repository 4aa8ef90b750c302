package filequeue

import (
	"context"
	"math/rand/v2"
	"time"
)

// The seq lock is held for some 30 µs at a time, so the first polls are close.
const (
	leastPoll = 20 * time.Microsecond
	mostPoll  = 5 * time.Millisecond
)

// poll waits between two looks at something of which nothing tells: ever
// longer, and with jitter, so that processes that met once do not meet again.
// Its zero value is ready to use.
type poll struct {
	next        time.Duration
	least, most time.Duration // 0: leastPoll, mostPoll
}

func (p *poll) wait(ctx context.Context) error {
	if p.most == 0 {
		p.least, p.most = leastPoll, mostPoll
	}
	p.next = min(max(2*p.next, p.least), p.most)
	timer := time.NewTimer(p.next/2 + rand.N(p.next))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
