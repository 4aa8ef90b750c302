package filequeue

import (
	"fmt"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// remove takes the ticket out of the line. check says that this call has to look
// whether the next in line is alive: no other ticket of this process will.
func (c *call) remove(t queue.Ticket) (check bool, err error) {
	if lockedfile.CloseBeforeRemove {
		l, err := c.lockSeq(noLimit, nil)
		if err != nil {
			c.giveUp(t)
			return false, err
		}
		defer l.unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if own := c.ticket(t); own != nil {
		return c.removeLocal(own)
	}
	return true, c.removeRemote(t)
}

// release removes the ticket, and makes sure that the next in line is alive. An empty
// line is cleaned up when the directory is not used any more.
func (c *call) release(t queue.Ticket) error {
	check, err := c.remove(t)
	if check && !lockedfile.CloseBeforeRemove {
		// The ticket is out of the line: the next call makes good for a failure
		// from here on, and the caller is not told.
		_ = c.evictOwners(c.s.slots())
	}
	return err
}

// giveUp leaves it to the others to remove a ticket of this process: its owner
// shows to be gone.
func (k *knownLine) giveUp(t queue.Ticket) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if own := k.ticket(t); own != nil {
		k.line.stays(own.name)
		k.forget(own.name)
	}
}

// removeLocal removes a ticket of this process. It opens nothing: a process that
// has no descriptors left can still unlock. The flock is dropped in any case, so
// that other processes can evict a ticket that could not be removed. mu is held.
func (k *knownLine) removeLocal(t *ticket) (check bool, err error) {
	i, _ := k.line.index(t.name)
	n := k.line.left(i)
	last := t.slots() - 1 // it is a remote one that owns now
	check = i <= last && last < len(k.line.entries) && k.line.entries[last].ticket == nil
	// The next owner, if of this process, goes on before the file is removed, which takes
	// as long as all the rest. It owns even if the removal fails: the file keeps out the
	// others. If this process dies in between, the next owner dies, too.
	owners := n.owners
	n.owners = nil
	for _, e := range owners {
		if !k.grant(e) {
			n.owners = append(n.owners, e)
		}
	}
	// By path: in a directory that was moved away there is no line.
	in, lerr := t.isInPlace()
	if lockedfile.CloseBeforeRemove {
		t.close()
	}
	err = k.dir.Remove(t.name)
	switch {
	case lockedfile.IsGone(err) || err == nil && lerr == nil && !in:
		err = queue.ErrNotQueued
	case err != nil:
		err = fmt.Errorf("removing the ticket: %w", err)
		k.line.stays(t.name)
	}
	for _, e := range owners {
		k.announce(e.ticket) // not before: a look at that must not find the file
	}
	k.tell(n)
	return check, err
}

// grant tells a local ticket that it owns: all that stood before it is known, and
// enough have left. It reports whether it did: not if the ticket is not there,
// because another process may have removed it. mu is held.
func (k *knownLine) grant(e *entry) bool {
	if in, err := e.ticket.isInPlace(); !in || err != nil {
		return false
	}
	e.ticket.waiter.wake(queue.WakeOwner)
	return true
}

// removeRemote removes a ticket that another process took. mu is held.
func (k *knownLine) removeRemote(t queue.Ticket) error {
	if name, ok := parseTicketName(t.Member); !ok || name.number != t.Number {
		return queue.ErrNotQueued
	}
	if info, err := k.dir.Lstat(t.Member); lockedfile.IsGone(err) || err == nil && !info.Mode().IsRegular() || !k.dir.IsCurrent() {
		return queue.ErrNotQueued
	}
	if err := k.dir.Remove(t.Member); lockedfile.IsGone(err) {
		return queue.ErrNotQueued
	} else if err != nil {
		return fmt.Errorf("removing the ticket: %w", err)
	}
	k.forget(t.Member)
	return nil
}
