// Package wakeup puts a wake-up into the channel of a waiter.
package wakeup

import "github.com/fifolock/fifolock/queue"

// Put leaves w in wake, which has room for one, and never waits. A wake-up that
// was not read yet counts as well: a WakeOwner is not displaced by a WakeHint, which says
// less. So a grant that is taken back is removed from the channel first.
// Calls for one channel must not overlap.
func Put(wake chan queue.Wake, w queue.Wake) {
	select {
	case wake <- w:
		return
	default:
	}
	if w == queue.WakeHint {
		return // one hint is enough, and a grant is worth more
	}
	select {
	case <-wake:
	default: // read in the meantime
	}
	wake <- w
}
