package filequeue

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// errBusy: the seq lock was not to be had in time, another program was at a file that the
// queue needs, or another process is about to remove the directory.
var errBusy = lockedfile.ErrBusy

// How long to wait for the seq lock.
const (
	notAtAll = time.Duration(0)
	noLimit  = time.Duration(-1) // but that of the ctx

	// longestLook is for a look at the line, which needs the seq lock only to evict by
	// age, and for cleaning up. If it is busy for longer, its holder was stopped: the
	// next look will do, or the next process that cleans up.
	longestLook = 10 * time.Millisecond

	// longestKeep is for what only this process knows, and can say only now. A holder that
	// was not stopped may be without a processor for longer than 10 ms, at a load of 30.
	longestKeep = 250 * time.Millisecond
)

// errDirectoryGone: the opened directory is not the one at the path any
// more. The call starts over.
var errDirectoryGone = errors.New("the directory was removed or replaced")

// The seq lock is held for some 30 µs at a time, so the first polls are close.
const (
	leastPoll = 20 * time.Microsecond
	mostPoll  = 5 * time.Millisecond

	// longestNap is less than a timer takes. A nap keeps a thread, and is as short as it says.
	longestNap = time.Millisecond
)

// poll waits between two looks at something that gives no notice: ever
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
