package lock

import (
	"context"
	"errors"
	"time"

	"github.com/fifolock/fifolock/queue"
)

const (
	// guardAfter is for how long an owner that was granted its turn does not
	// listen yet, so that a short hold costs a timer and not a goroutine. What is
	// said meanwhile waits in its channel. It is about one round trip, which is how
	// long a grant that is taken back may last anyway.
	guardAfter = time.Millisecond

	// confirmTimeout is how long an owner whose grant was taken back waits for the
	// answer to one look before it looks over another connection.
	confirmTimeout = time.Second
)

// errTakenBack is why a hold is lost that was granted before the storage had
// confirmed it, and whose ticket turned out not to own.
var errTakenBack = errors.New("the ticket does not own the line: it was granted its turn before the storage had lost data")

// standGuard listens on for an owner that was granted its turn. It looks at once when
// the grant is taken back, and again until the queue has answered: how long that may
// go on is the lease's to say. It ends with the heartbeat.
func (c *claim) standGuard() {
	ctx := c.alive.context()
	pause := newBackOff()
	var again <-chan time.Time
	for {
		select {
		case wake := <-c.watch.wake:
			if wake == queue.WakeOwner {
				continue
			}
		case <-again:
		case <-ctx.Done():
			return
		}
		again = nil
		if c.confirm(ctx) {
			pause.Reset()
		} else {
			again = time.After(pause.NextBackOff())
		}
	}
}

// confirm looks whether the claim owns, and gives it up as lost if it does not. It
// reports false if the queue has not answered and may yet.
func (c *claim) confirm(ctx context.Context) (answered bool) {
	asking, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	place, err := ask(asking, 0, func(ctx context.Context) (queue.Place, error) {
		return queue.Position(ctx, c.base.queue, c.ticket)
	}, nil)
	switch {
	case errors.Is(err, queue.ErrNotQueued):
		c.alive.declareLost(err)
	case err != nil:
		return errors.Is(err, queue.ErrClosed)
	case place.Ahead > 0:
		c.alive.declareLost(errTakenBack)
		c.base.giveBack(c.ticket) // it would own again in its turn, and hold up the line
	}
	return true
}
