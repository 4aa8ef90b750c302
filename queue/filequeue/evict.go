package filequeue

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// evictor removes the tickets whose owners are gone, for one call.
//
// A flock that can be taken is proof of death, without the seq lock: each ticket that a
// process knows of had its flock before the process listed it, or is not one yet. The
// owner of a file that is created at this moment finds that it is locked or removed, and
// takes another ticket. On Windows, where a file must be closed before it is removed, and
// for eviction by age, the seq lock is held.
type evictor struct {
	*knownLine
	evicted []queue.Ticket // told to the caller when no lock is held any more

	// clock is that of the file system. nil without the seq lock: then no ticket is
	// evicted by its age.
	clock func() (time.Time, error)
}

// evictOwners removes the dead until the first n are alive, or none is left behind them.
func (v *evictor) evictOwners(n int) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := 0; i < n && i < len(v.line.entries); {
		e := v.line.entries[i]
		gone, err := v.evict(e)
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
func (v *evictor) evict(e *entry) (gone bool, err error) {
	if e.ticket == nil {
		gone, err := v.examine(e)
		if gone || err != nil {
			return gone, err
		}
	} else if !v.dir.Exists(e.name) {
		v.forget(e.name)
		return true, nil
	}
	old, err := v.isTooOld(e)
	if err != nil || !old {
		return false, err
	}
	return true, v.removeGone(e, false)
}

// examine tries to take the flock of a remote ticket, and removes the ticket if it can. It
// reports whether the ticket is not in line any more, or is none. mu is held.
func (v *evictor) examine(e *entry) (gone bool, err error) {
	f, err := v.dir.OpenToProbe(e.name)
	if isExhausted(err) && e.probe != nil {
		f, err = e.probe, nil
	}
	if err != nil {
		return v.unopened(e, err)
	}
	if f != e.probe {
		defer f.Close()
	}
	e.read(f)
	locked, err := f.TryLock()
	if err != nil || !locked {
		return false, err
	}
	_, err = f.Verify(v.dir)
	var notOurs *lockedfile.NotOursError
	switch {
	case errors.Is(err, lockedfile.ErrBusy) && !v.dir.IsCurrent():
		err = errDirectoryGone
	case errors.Is(err, lockedfile.ErrBusy) || errors.As(err, &notOurs):
		v.forget(e.name)
		return true, nil
	case err == nil:
		if lockedfile.CloseBeforeRemove {
			f.Unlock()
			f.File.Close()
		}
		return true, v.removeGone(e, true)
	}
	f.Unlock()
	return false, err
}

// unopened is examine for a file that could not be opened. mu is held.
func (v *evictor) unopened(e *entry, err error) (gone bool, _ error) {
	var notOurs *lockedfile.NotOursError
	switch {
	case errors.As(err, &notOurs) || !v.dir.Exists(e.name):
		v.forget(e.name)
		return true, nil
	case lockedfile.IsGone(err) && !v.dir.IsCurrent():
		return false, errDirectoryGone
	case errors.Is(err, fs.ErrPermission), errors.Is(err, lockedfile.ErrBusy):
		return false, nil // another user's, or leased: not for this process to examine
	}
	return false, fmt.Errorf("examining %s: %w", e.name, err)
}

// removeGone removes the file of a ticket whose owner is gone: dead, or alive and too old.
// mu is held.
func (v *evictor) removeGone(e *entry, dead bool) error {
	err := v.dir.Remove(e.name)
	switch {
	case err == nil:
		v.evicted = append(v.evicted, queue.Ticket{Number: e.number, Member: e.name})
	case lockedfile.IsGone(err): // it has just left by itself
	case !dead:
		return fmt.Errorf("removing the stale ticket %s: %w", e.name, err)
	default:
		// Dead it is and dead it stays. It does not stand in line, and is removed by
		// the first process that may.
		if i, ok := v.line.index(e.name); ok {
			v.tell(v.line.unremoved(i))
		}
		return nil
	}
	v.forget(e.name)
	return nil
}

// isTooOld reports whether the ticket has a stale timeout, and has not been
// refreshed for so long. Both times are the file system's. The present one is
// noted first, so that a ticket that is refreshed after that is too old only if
// it was so before; then its owner counts it as lost too (see touch).
func (v *evictor) isTooOld(e *entry) (bool, error) {
	stale := e.stale()
	if stale <= 0 || v.clock == nil {
		return false, nil
	}
	now, err := v.clock()
	if err != nil {
		return false, err
	}
	info, err := v.dir.Lstat(e.name)
	if err != nil {
		return false, nil // it has just left
	}
	return now.Sub(info.ModTime()) > stale, nil
}

// evictAll removes the suspects whose owners are gone, and reports whether there were any.
func (v *evictor) evictAll(suspects []*entry) (gone bool, err error) {
	for _, e := range suspects {
		v.mu.Lock()
		out, err := v.evict(e)
		v.mu.Unlock()
		if err != nil {
			return gone, err
		}
		gone = gone || out
	}
	return gone, nil
}

// haveStale reports whether one of the tickets can be evicted by its age.
func (v *evictor) haveStale(entries []*entry) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.ContainsFunc(entries, func(e *entry) bool { return e.stale() > 0 })
}
