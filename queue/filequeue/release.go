package filequeue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// tidyPatience is how long a call may wait for the seq lock to look after the
// line, once its ticket is gone or it could not join. Among processes that run
// it is had long before; if its holder was stopped, whoever comes next does it.
const tidyPatience = time.Second

// remove takes the ticket out of the line. check says that it is to us to look
// whether the next in line is alive, or whether there is nobody: no other
// ticket of this process will.
func (d *directory) remove(ctx context.Context, s *fileSettings, t queue.Ticket) (check bool, err error) {
	if closeBeforeRemove {
		l, err := d.lockSeq(ctx, s, forAsLong)
		if err != nil {
			d.giveUp(t)
			return false, err
		}
		defer l.unlock()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if own := d.ownTicket(t); own != nil {
		return d.removeOwn(own)
	}
	return true, d.removeForeign(t)
}

// giveUp leaves it to the others to remove a ticket of this process: its owner
// shows to be gone.
func (d *directory) giveUp(t queue.Ticket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if own := d.ownTicket(t); own != nil {
		d.undead[own.name] = struct{}{}
		i, _ := d.line.index(own.name)
		d.forget(i)
	}
}

// removeOwn removes a ticket of this process. It opens nothing: a process that
// has no descriptors left can still unlock. Whatever goes wrong, the flock is
// dropped, so that the others can evict what could not be removed. mu is held.
func (d *directory) removeOwn(own *ownTicket) (check bool, err error) {
	// By path first: in a directory that was moved away there is no line.
	in, lerr := d.inLine(own)
	if closeBeforeRemove {
		own.close()
	}
	err = d.root.Remove(own.name)
	switch {
	case isGone(err) || err == nil && lerr == nil && !in:
		err = queue.ErrNotQueued
	case err != nil:
		err = fmt.Errorf("removing the ticket: %w", err)
		d.undead[own.name] = struct{}{}
	}
	i, _ := d.line.index(own.name)
	var next *ownTicket
	if i+1 < len(d.line) {
		next = d.line[i+1].own
	}
	handOver := false
	if i == 0 && next != nil {
		// Of what stood before it we know all, and the last has just left: if it
		// is there, which another process may know better, it is the head.
		in, err := d.inLine(next)
		handOver = in && err == nil
	}
	if handOver {
		next.bell.ring(queue.WakeOwner)
	}
	d.forget(i)
	if handOver {
		d.announce(next)
	}
	return !(i == 0 && next != nil || i > 0 && len(d.own) > 0), err
}

// removeForeign removes a ticket that another process took. mu is held.
func (d *directory) removeForeign(t queue.Ticket) error {
	if name, ok := parseTicketName(t.Member); !ok || name.number != t.Number {
		return queue.ErrNotQueued
	}
	if info, err := d.root.Lstat(t.Member); isGone(err) || err == nil && !info.Mode().IsRegular() || !d.current() {
		return queue.ErrNotQueued
	}
	if err := d.root.Remove(t.Member); isGone(err) {
		return queue.ErrNotQueued
	} else if err != nil {
		return fmt.Errorf("removing the ticket: %w", err)
	}
	if i, ok := d.line.index(t.Member); ok {
		d.forget(i)
	}
	return nil
}

// release removes the ticket, makes sure that the next in line is alive, and
// cleans up if there is none.
func (d *directory) release(ctx context.Context, s *fileSettings, t queue.Ticket) error {
	check, err := d.remove(ctx, s, t)
	if !check || errors.Is(err, errDirectoryGone) {
		return err
	}
	// The ticket is out of the line: what fails from here on is made good by
	// whoever comes next, and is not the caller's business.
	if errors.Is(d.tidy(ctx, s, patienceWithin(ctx)), errDirectoryGone) {
		d.retire()
	}
	return err
}

// tidy removes the dead heads, and cleans up if nobody is in line then. It does
// nothing if somebody of this process is about to join an empty line: that one
// does both. To remove everything and make it anew each time costs three times
// as much as the lock does.
func (d *directory) tidy(ctx context.Context, s *fileSettings, patience time.Duration) error {
	if d.joining.Load() > 0 && d.isEmptyLine() {
		return nil
	}
	l, err := d.lockSeq(ctx, s, patience)
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := l.evictHeads(); err != nil || d.head() != nil {
		return err
	}
	if err := l.learn(); err != nil {
		return err
	}
	if err := l.evictHeads(); err != nil {
		return err
	}
	l.cleanUp()
	return nil
}

// isEmptyLine reports whether nobody is known to be in line.
func (d *directory) isEmptyLine() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.line) == 0
}

// patienceWithin is tidyPatience, or half of what ctx leaves if that is less: a
// caller who waits no longer than ctx would never hear that the ticket is gone.
func patienceWithin(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return tidyPatience
	}
	return max(notAtAll, min(tidyPatience, time.Until(deadline)/2))
}

// maybeCleanUp cleans up if nobody is in line and nobody is at it.
func (d *directory) maybeCleanUp(ctx context.Context, s *fileSettings) error {
	// Without seq there is nothing to lock, and rmdir is safe by itself.
	if !d.exists(seqName) {
		d.vacate()
		return nil
	}
	l, err := d.lockSeq(ctx, s, notAtAll)
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := l.learn(); err != nil {
		return err
	}
	l.cleanUp()
	return nil
}

// cleanUp removes every artifact of the queue if nobody is in line. The line
// must be known. Whoever waits for the flock finds that seq is not the one at
// the path any more, and starts over.
func (l *seqLock) cleanUp() {
	d := l.d
	if d.head() != nil || d.hasUndead() {
		return
	}
	// A seq that is ahead of the clock, because the clock was set back, is
	// what keeps the numbers from going back with it.
	if number := max(l.number, d.highestNumber()); number >= wallNumber() {
		if l.number < number { // it was damaged
			_ = l.writeSeq(number)
		}
		return
	}
	if closeBeforeRemove {
		d.setSeq(nil, nil)
		dropFlock(l.lock)
	}
	if err := d.root.Remove(seqName); err != nil && !isGone(err) {
		return
	}
	d.setSeq(nil, nil)
	d.vacate()
}

func (d *directory) highestNumber() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.highest
}

func (d *directory) hasUndead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.undead) > 0
}
