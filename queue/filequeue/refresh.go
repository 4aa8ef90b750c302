package filequeue

import (
	"fmt"
	"os"

	"github.com/fifolock/fifolock/queue"
)

// refresh shows that the ticket is in line, and that its flock is held.
func (d *directory) refresh(t queue.Ticket) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	own := d.ownTicket(t)
	if own == nil {
		return d.refreshForeign(t)
	}
	in, err := d.inLine(own)
	if err != nil {
		return err
	}
	if in && !own.locked() {
		// Code that has nothing to do with us has closed the descriptor, and
		// dropped the flock with it. Somebody may be judging right now.
		_ = d.root.Remove(own.name)
		in = false
	}
	if !in {
		i, _ := d.line.index(own.name)
		d.forget(i)
		return queue.ErrNotQueued
	}
	if own.stale == 0 {
		return nil
	}
	return d.touch(own)
}

// refreshForeign only tells whether the ticket is in line: to show that its
// owner is alive is the owner's business. mu is held.
func (d *directory) refreshForeign(t queue.Ticket) error {
	if name, ok := parseTicketName(t.Member); !ok || name.number != t.Number {
		return queue.ErrNotQueued
	}
	if !d.exists(t.Member) || !d.current() {
		return queue.ErrNotQueued
	}
	return nil
}

// touch renews the time stamp of the ticket's file, by writing: so it is the
// file system's clock that says when.
//
// One that comes later than the stale timeout allows does not count: a judge
// who was stopped between looking at the old time stamp and removing the file
// may have decided already. One that comes in time is seen by every judge, who
// notes what time it is before looking (see tooOld). So judging and refreshing
// are one step each without a lock that a heartbeat might have to wait for. mu
// is held.
func (d *directory) touch(own *ownTicket) error {
	f, err := d.root.OpenFile(own.name, os.O_RDWR|openFlags, 0)
	if isGone(err) {
		return queue.ErrNotQueued
	}
	if err != nil {
		return fmt.Errorf("opening the ticket: %w", err)
	}
	defer f.Close()
	if err := own.write(f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("examining the ticket: %w", err)
	}
	if info.ModTime().Sub(own.seen) > own.stale {
		return queue.ErrNotQueued
	}
	own.seen = info.ModTime()
	return nil
}
