package filequeue

import (
	"context"
	"errors"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// done is called when a call is over. With the last one, unless a ticket is left, the
// directory is cleaned up and closed.
func (d *directory) done() (evicted []queue.Ticket) {
	directories.Lock()
	d.calls--
	last := d.calls == 0 && len(d.line.slots) == 0 // no local ticket is in line, which only calls change
	if last {
		d.calls = -1 // later calls wait for a fresh one
	}
	directories.Unlock()
	if !last {
		return nil
	}
	evicted = d.close()
	d.unlist()
	close(d.closed)
	return evicted
}

// close is called when the directory is not used any more.
func (d *directory) close() (evicted []queue.Ticket) {
	if !d.isOpen.Load() {
		return nil
	}
	d.mu.Lock()
	if d.recheck != nil {
		d.recheck.Stop()
		d.recheck = nil
	}
	d.mu.Unlock()
	remove := false
	if d.cleanUp.Load() && !d.gone {
		c := d.call(context.Background(), &settings{path: d.path, mode: d.mode})
		remove = c.cleanUp()
		evicted = c.evicted
	}
	d.seq.close()
	for _, e := range d.line.entries { // remote ones; they may be in line for long
		e.closeProbe()
	}
	d.dir.Close()
	if remove {
		_ = lockedfile.RemoveDirectory(d.path) // an error: another process has moved in meanwhile
	}
	return evicted
}

// call begins a call, or the cleaning up after the last.
func (d *directory) call(ctx context.Context, s *settings) *call {
	return &call{knownLine: &d.knownLine, seq: &d.seq, ctx: ctx, s: s, cleansUp: &d.cleanUp}
}

// cleanUp removes every artifact of the queue if the line is empty. The directory is not
// used by this process any more. remove says that the directory is to be removed when it is
// closed: some systems cannot remove an open one.
//
// Every process has a shared flock on the directory from before it joins until it is through
// here. So the exclusive flock shows that this is the last one. A process that could not get
// the shared flock holds the seq lock while it joins, and is waited for.
func (c *call) cleanUp() (remove bool) {
	if !c.dir.Exclude() || c.seq.file == nil && !c.dir.Exists(seqName) {
		return false
	}
	l, err := c.lockSeq(notAtAll, nil)
	if errors.Is(err, errBusy) {
		c.dir.Leave() // the one that has it could not clean up either
		if l, err = c.lockSeq(longestLook, nil); err == nil && !c.dir.Exclude() {
			l.unlock()
			return false
		}
	}
	if err != nil {
		return false // its holder is stopped
	}
	defer l.unlock()
	if contents, empty := l.empty(); empty {
		remove = l.removeAll(contents)
	}
	return remove
}

// empty removes the dead owners, and reports whether no ticket is left: then it returns a
// listing that was made after that.
func (l *seqLock) empty() (c lockedfile.Contents, empty bool) {
	for range 2 { // the second listing has those that could not be removed
		err := l.relist(func() (names []string, err error) {
			c, err = l.dir.List(seqName, isTicketName)
			return c.Names, err
		})
		if err != nil {
			return c, false
		}
		if len(c.Names) == 0 {
			return c, true
		}
		if err := l.evictOwners(1); err != nil || len(l.line.entries) > 0 {
			return c, false
		}
	}
	return c, false
}

// removeAll removes every artifact of an empty line, as cleanUp says.
func (l *seqLock) removeAll(c lockedfile.Contents) (removeLater bool) {
	leavings := l.dir.RemoveFiles(c.Leavings) // an error: those of another user
	// A seq that is ahead of the clock, because the clock was set back, is
	// what keeps the numbers from going back with it.
	if number := max(l.content.number, l.line.highest); number >= wallNumber() {
		if l.content.number < number { // it was damaged
			l.content.number = number
			_ = l.write(l.content)
		}
		return false
	}
	made := l.seq.made
	switch {
	case !made && !l.valid && l.content.number == 0 && l.line.highest == 0: // nothing shows that it is a seq
		return false
	case made && (leavings != nil || c.Others):
		return false
	case lockedfile.CloseBeforeRemove: // the directory later, when it is closed
		l.seq.close()
		err := l.dir.RemoveFiles([]string{seqName}) // none is there: it was removed while it was open
		return made && err == nil
	case !made:
		_ = l.dir.Remove(seqName)
		return false
	}
	if l.removeDirectory() != nil && l.seq.file == nil && l.dir.IsCurrent() {
		l.keep()
	}
	return false
}

// keep makes sure that a directory that stays has a seq that says what the one that was
// removed has said, for the same users. Another process may have come meanwhile, and have
// made one, as in a directory that was there before.
func (l *seqLock) keep() {
	ctx, cancel := context.WithTimeout(context.Background(), longestKeep)
	defer cancel()
	c, s, last := *l.call, *l.s, l.content.number
	s.mode = l.rights
	c.s = &s
	info, err := c.await(ctx, longestKeep, false)
	if err != nil || l.read(info) != nil {
		return // its holder is stopped
	}
	l.content.number = max(l.content.number, last)
	_ = l.write(l.content)
}

// removeDirectory removes the directory with seq. For a moment it waits for a process that
// makes the same directory, and will find that it is there.
func (l *seqLock) removeDirectory() error {
	ctx, cancel := context.WithTimeout(context.Background(), longestLook)
	defer cancel()
	var p poll
	for {
		err := l.s.home().Remove(l.dir, ctx.Err() == nil, l.seq.close)
		if !errors.Is(err, lockedfile.ErrBusy) {
			return err
		}
		_ = p.wait(ctx) // at its end: without waiting
	}
}
