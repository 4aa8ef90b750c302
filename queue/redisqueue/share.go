package redisqueue

import (
	"fmt"

	"github.com/fifolock/fifolock/queue"
)

var (
	_ queue.Sharer        = (*Queue)(nil)
	_ queue.TryRegisterer = (*view)(nil)
	_ queue.Releaser      = (*view)(nil)
	_ queue.Refresher     = (*view)(nil)
	_ queue.Watcher       = (*view)(nil)
	_ queue.Positioner    = (*view)(nil)
	_ queue.Lister        = (*view)(nil)
)

// Share returns a view of the line in which the first n own. It offers the same
// optional interfaces as the queue, but [queue.Sharer].
//
// Views with different n may be used side by side: each admits by its own n, which is
// stored with its tickets. Then a wake-up may be missed (a release of a view tells
// those that own by it, and those of other views only as far as they follow without
// a gap), and polling makes up for it. Every operation, heartbeats included, looks at all
// n owners, so that its cost grows with n: keep n below a hundred or so (figures are in
// docs/semaphore.md).
func (q *Queue) Share(n int) queue.TicketQueue {
	v := view{storage: q.storage, owners: n, err: q.err}
	if v.err == nil && n < 1 {
		v.err = fmt.Errorf("Share was given %d: give 1 or more", n)
	}
	return &v
}

// kindError says that a line of one kind cannot be joined through a view of the
// other. owners are what both say: 0 is exclusive.
func kindError(ours, theirs int) error {
	return answerError(fmt.Sprintf("the line is held as %s; %s cannot join it: give one of them another name",
		kind(theirs), kind(ours)))
}

func kind(owners int) string {
	if owners == 0 {
		return "a Mutex (exclusive)"
	}
	return "a Semaphore (shared)"
}
