package filequeue

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// The methods in this file remove the tickets whose owners are gone.
//
// A flock that can be taken proves that the owner is dead, without the seq lock: a ticket
// is locked before any process lists it. A file that is just being created is no ticket
// yet, and may be taken for a dead one; its owner notices, and takes another ticket. On
// Windows, where a file must be closed before it is removed, and for eviction by age, the
// seq lock is held.

// evictOwners removes the dead until the first n are alive, or none is left behind them.
func (c *call) evictOwners(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i < n && i < len(c.line.entries); {
		e := c.line.entries[i]
		gone, err := c.evict(e)
		if err != nil {
			return err
		}
		if !gone {
			i++
		}
	}
	return nil
}

// evict removes the ticket if its owner is gone, and reports whether it is not in line
// any more. mu is held.
func (c *call) evict(e *entry) (gone bool, err error) {
	if e.ticket == nil {
		gone, err := c.examine(e)
		if gone || err != nil {
			return gone, err
		}
	} else if !c.dir.Exists(e.name) {
		c.forget(e.name)
		return true, nil
	}
	old, err := c.isTooOld(e)
	if err != nil || !old {
		return false, err
	}
	err = c.removeGone(e, false)
	if errors.Is(err, fs.ErrPermission) {
		return false, nil // another user's: it stays in line, because its owner lives
	}
	return err == nil, err
}

// examine tries to take the flock of a remote ticket, and removes the ticket if it can. It
// reports whether the ticket is not in line any more, or is none. mu is held.
func (c *call) examine(e *entry) (gone bool, err error) {
	f, err := c.dir.OpenToProbe(e.name)
	if e.probe != nil && (isExhausted(err) || errors.Is(err, fs.ErrPermission)) { // it was opened when that was possible
		f, err = e.probe, nil
	}
	if err != nil {
		return c.unopened(e, err)
	}
	if f != e.probe {
		defer f.Close()
	}
	e.read(f)
	locked, err := f.TryLock()
	if err != nil || !locked {
		return false, err
	}
	_, err = f.Verify(c.dir)
	var notOurs *lockedfile.NotOursError
	switch {
	case errors.Is(err, lockedfile.ErrBusy) && !c.dir.IsCurrent():
		err = errDirectoryGone
	case errors.Is(err, lockedfile.ErrBusy) || errors.As(err, &notOurs):
		c.forget(e.name)
		return true, nil
	case err == nil:
		if lockedfile.CloseBeforeRemove {
			f.Unlock()
			f.File.Close()
		}
		return true, c.removeGone(e, true)
	}
	f.Unlock()
	return false, err
}

// unopened is examine for a file that could not be opened. mu is held.
func (c *call) unopened(e *entry, err error) (gone bool, _ error) {
	var notOurs *lockedfile.NotOursError
	switch {
	case errors.As(err, &notOurs) || !c.dir.Exists(e.name):
		c.forget(e.name)
		return true, nil
	case lockedfile.IsGone(err) && !c.dir.IsCurrent():
		return false, errDirectoryGone
	case errors.Is(err, fs.ErrPermission), errors.Is(err, lockedfile.ErrBusy):
		return false, nil // another user's, or leased: not for this process to examine
	}
	return false, fmt.Errorf("examining %s: %w", e.name, err)
}

// removeGone removes the file of a ticket whose owner is gone: dead, or alive and too old.
// mu is held.
func (c *call) removeGone(e *entry, dead bool) error {
	err := c.dir.Remove(e.name)
	switch {
	case err == nil:
		c.evicted = append(c.evicted, queue.Ticket{Number: e.number, Member: e.name})
	case !dead && !lockedfile.IsGone(err):
		return fmt.Errorf("removing the stale ticket %s: %w", e.name, err)
	}
	// A dead one whose file could not be removed does not stand in line either. The first
	// process removes it that may. The next listing brings it back, and it is judged again:
	// it may have been one that was just being created.
	c.forget(e.name)
	return nil
}

// isTooOld reports whether the ticket has a stale timeout, and has not been
// refreshed for so long. Both times are the file system's. The present one is
// noted first, so that a ticket that is refreshed after that is too old only if
// it was so before; then its owner counts it as lost too (see touch).
func (c *call) isTooOld(e *entry) (bool, error) {
	stale := e.stale()
	if stale <= 0 || c.clock == nil {
		return false, nil
	}
	now, err := c.clock()
	if err != nil {
		return false, err
	}
	info, err := c.dir.Lstat(e.name)
	if err != nil {
		return false, nil // it has just left
	}
	return now.Sub(info.ModTime()) > stale, nil
}

// evictAll removes the suspects whose owners are gone, and reports whether there were any.
func (c *call) evictAll(suspects []*entry) (gone bool, err error) {
	for _, e := range suspects {
		c.mu.Lock()
		out, err := c.evict(e)
		c.mu.Unlock()
		if err != nil {
			return gone, err
		}
		gone = gone || out
	}
	return gone, nil
}

// haveStale reports whether one of the tickets can be evicted by its age.
func (c *call) haveStale(entries []*entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(entries, func(e *entry) bool { return e.stale() > 0 })
}
