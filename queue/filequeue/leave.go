package filequeue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// longestTidying is how long a call may wait for the seq lock to look after the
// line, once its ticket is gone or it could not join. Among processes that run
// it is had long before; if its holder was stopped, the next call does it.
const longestTidying = time.Second

// remove takes the ticket out of the line. check says that it is to this call to look
// whether the next in line is alive, or whether there is none: no other ticket of this
// process will.
func (d *directory) remove(ctx context.Context, s *settings, t queue.Ticket) (check bool, err error) {
	if lockedfile.CloseBeforeRemove {
		l, err := d.lockSeq(ctx, s, noLimit)
		if err != nil {
			d.giveUp(t)
			return false, err
		}
		defer l.unlock()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if own := d.ticket(t); own != nil {
		return d.removeLocal(own)
	}
	return true, d.removeRemote(t)
}

// giveUp leaves it to the others to remove a ticket of this process: its owner
// shows to be gone.
func (d *directory) giveUp(t queue.Ticket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if own := d.ticket(t); own != nil {
		i, _ := d.line.index(own.name)
		d.tell(d.line.unremoved(i))
	}
}

// removeLocal removes a ticket of this process. It opens nothing: a process that
// has no descriptors left can still unlock. Whatever goes wrong, the flock is
// dropped, so that the others can evict what could not be removed. mu is held.
func (d *directory) removeLocal(t *ticket) (check bool, err error) {
	// By path first: in a directory that was moved away there is no line.
	in, lerr := t.isInPlace(d)
	if lockedfile.CloseBeforeRemove {
		t.close()
	}
	err = d.dir.Load().Remove(t.name)
	i, _ := d.line.index(t.name)
	var n news
	switch {
	case lockedfile.IsGone(err) || err == nil && lerr == nil && !in:
		err = queue.ErrNotQueued
		n = d.line.left(i)
	case err != nil:
		err = fmt.Errorf("removing the ticket: %w", err)
		n = d.line.unremoved(i)
	default:
		n = d.line.left(i)
	}
	// If no ticket of this process is left, or it is a remote one that owns now.
	last := t.slots - 1
	check = len(d.tickets) == 1 || i <= last && last < len(d.line.entries) && d.line.entries[last].ticket == nil
	n.owners = slices.DeleteFunc(n.owners, d.grant)
	d.tell(n)
	return check, err
}

// grant tells a local ticket that it owns: of what stood before it all is known, and
// enough have left. It reports whether it did: not if the ticket is not there, which
// another process may know better. mu is held.
func (d *directory) grant(e *entry) bool {
	if in, err := e.ticket.isInPlace(d); !in || err != nil {
		return false
	}
	e.ticket.waiter.wake(queue.WakeOwner)
	d.announce(e.ticket)
	return true
}

// removeRemote removes a ticket that another process took. mu is held.
func (d *directory) removeRemote(t queue.Ticket) error {
	dir := d.dir.Load()
	if name, ok := parseTicketName(t.Member); !ok || name.number != t.Number {
		return queue.ErrNotQueued
	}
	if info, err := dir.Lstat(t.Member); lockedfile.IsGone(err) || err == nil && !info.Mode().IsRegular() || !dir.IsCurrent() {
		return queue.ErrNotQueued
	}
	if err := dir.Remove(t.Member); lockedfile.IsGone(err) {
		return queue.ErrNotQueued
	} else if err != nil {
		return fmt.Errorf("removing the ticket: %w", err)
	}
	if i, ok := d.line.index(t.Member); ok {
		d.tell(d.line.left(i))
	}
	return nil
}

// release removes the ticket, makes sure that the next in line is alive, and
// cleans up if there is none.
func (d *directory) release(ctx context.Context, s *settings, t queue.Ticket) error {
	check, err := d.remove(ctx, s, t)
	if !check || errors.Is(err, errDirectoryGone) {
		return err
	}
	// The ticket is out of the line: what fails from here on is made good by
	// the next call, and is not the caller's business.
	if errors.Is(d.tidy(ctx, s, tidyingWithin(ctx)), errDirectoryGone) {
		d.invalidate()
	}
	return err
}

// tidy removes the dead owners, and cleans up if the line is empty then. It does
// nothing if a call of this process is about to join an empty line: that one
// does both. To remove everything and make it anew each time costs three times
// as much as the lock does.
func (d *directory) tidy(ctx context.Context, s *settings, wait time.Duration) error {
	if d.joining.Load() > 0 && d.isEmptyLine() {
		return nil
	}
	if !lockedfile.CloseBeforeRemove {
		v := &evictor{d: d, ctx: ctx}
		err := v.evictOwners(s.slots)
		queue.Evicted(ctx, v.evicted)
		if err != nil || !d.isEmptyLine() {
			return err
		}
	}
	l, err := d.lockSeq(ctx, s, wait)
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := l.list(); err != nil {
		return err
	}
	if err := l.evictOwners(s.slots); err != nil {
		return err
	}
	l.cleanUp()
	return nil
}

// isEmptyLine reports whether no ticket is known to be in line.
func (d *directory) isEmptyLine() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.line.entries) == 0
}

// tidyingWithin is longestTidying, or half of what ctx leaves if that is less: a
// caller who waits no longer than ctx would never hear that the ticket is gone.
func tidyingWithin(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return longestTidying
	}
	return max(notAtAll, min(longestTidying, time.Until(deadline)/2))
}

// maybeCleanUp cleans up if the line is empty and the seq lock is free.
func (d *directory) maybeCleanUp(ctx context.Context, s *settings) error {
	if !d.dir.Load().Exists(seqName) {
		return nil // what is left is not the queue's, or another process is making it
	}
	l, err := d.lockSeq(ctx, s, notAtAll)
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := l.list(); err != nil {
		return err
	}
	l.cleanUp()
	return nil
}

// cleanUp removes every artifact of the queue if the line is empty. The line
// must be known. A process that waits for the flock finds that seq is not the one at
// the path any more, and starts over.
func (l *seqLock) cleanUp() {
	if !l.isEmptyLine() || l.hasUnremovable() {
		return
	}
	// A seq that is ahead of the clock, because the clock was set back, is
	// what keeps the numbers from going back with it.
	if number := max(l.content.number, l.highest()); number >= wallNumber() {
		if l.content.number < number { // it was damaged
			l.content.number = number
			_ = l.write(l.content)
		}
		return
	}
	if l.seq.made && !lockedfile.CloseBeforeRemove {
		l.removeSelf()
		return
	}
	if lockedfile.CloseBeforeRemove {
		l.seq.close()
	}
	if err := l.dir.Load().Remove(seqName); err != nil && !lockedfile.IsGone(err) {
		return
	}
	l.seq.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeLater = l.seq.made
}

func (d *directory) hasUnremovable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.line.unremovable) > 0
}
