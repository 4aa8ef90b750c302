package filequeue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
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
	d       *directory
	ctx     context.Context
	evicted []queue.Ticket // told to the caller when no lock is held any more

	// now is the present time by the clock of the file system. nil without the seq
	// lock: then no ticket is evicted by its age.
	now func() (time.Time, error)
}

// verdict is what was found out about a ticket's owner.
type verdict int

const (
	alive  verdict = iota
	dead           // proven: its flock could be taken
	absent         // the ticket is not there, or is not a ticket
)

// evictOwners removes the dead among the first n, up to where as many are alive: others
// take their place.
func (v *evictor) evictOwners(n int) error {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	for i := 0; i < n && i < len(v.d.line.entries); {
		e := v.d.line.entries[i]
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
		verdict, err := v.examine(e)
		if err != nil || verdict != alive {
			return verdict != alive, err
		}
	} else if !v.d.dir.Load().Exists(e.name) {
		v.d.forget(e)
		return true, nil
	}
	old, err := v.isTooOld(e)
	if err != nil || !old {
		return false, err
	}
	return true, v.remove(e, alive)
}

// examine tries to take the flock of a remote ticket, and removes the ticket if it can.
// mu is held.
func (v *evictor) examine(e *entry) (verdict, error) {
	dir := v.d.dir.Load()
	f, err := dir.OpenToProbe(e.name)
	if isExhausted(err) && e.probe != nil {
		f, err = e.probe, nil
	}
	if err != nil {
		return v.unopened(e, err)
	}
	if f != e.probe {
		defer f.Close()
	}
	if e.said == nil {
		e.said = readContent(f.File)
	}
	locked, err := f.TryLock()
	if err != nil || !locked {
		return alive, err
	}
	_, err = f.Verify(dir)
	var notOurs *lockedfile.NotOursError
	switch {
	case errors.Is(err, lockedfile.ErrBusy) && !dir.IsCurrent():
		err = errDirectoryGone
	case errors.Is(err, lockedfile.ErrBusy) || errors.As(err, &notOurs):
		v.d.forget(e)
		return absent, nil
	case err == nil:
		if lockedfile.CloseBeforeRemove {
			f.Unlock()
			f.File.Close()
		}
		return dead, v.remove(e, dead)
	}
	f.Unlock()
	return alive, err
}

// unopened judges by the error of an open. mu is held.
func (v *evictor) unopened(e *entry, err error) (verdict, error) {
	var notOurs *lockedfile.NotOursError
	switch {
	case errors.As(err, &notOurs) || !v.d.dir.Load().Exists(e.name):
		v.d.forget(e)
		return absent, nil
	case lockedfile.IsGone(err) && !v.d.dir.Load().IsCurrent():
		return alive, errDirectoryGone
	case errors.Is(err, fs.ErrPermission), errors.Is(err, lockedfile.ErrBusy):
		return alive, nil // another user's, or leased: not for this process to examine
	}
	return alive, fmt.Errorf("examining %s: %w", e.name, err)
}

// remove removes the file of a ticket whose owner is gone: dead, or alive and too old.
// mu is held.
func (v *evictor) remove(e *entry, owner verdict) error {
	err := v.d.dir.Load().Remove(e.name)
	switch {
	case err == nil:
		v.evicted = append(v.evicted, queue.Ticket{Number: e.number, Member: e.name})
	case lockedfile.IsGone(err): // it has just left by itself
	case owner != dead:
		return fmt.Errorf("removing the stale ticket %s: %w", e.name, err)
	default:
		// Dead it is and dead it stays. It does not stand in line, and is removed by
		// the first process that may.
		if i, ok := v.d.line.index(e.name); ok {
			v.d.tell(v.d.line.unremoved(i))
		}
		return nil
	}
	v.d.forget(e)
	return nil
}

// isTooOld reports whether the ticket has a stale timeout, and has not been
// refreshed for so long. Both times are the file system's. The present one is
// noted first, so that a ticket that is refreshed after that is too old only if
// it was so before; then its owner counts it as lost too (see touch).
func (v *evictor) isTooOld(e *entry) (bool, error) {
	stale := e.stale()
	if stale <= 0 || v.now == nil {
		return false, nil
	}
	now, err := v.now()
	if err != nil {
		return false, err
	}
	info, err := v.d.dir.Load().Lstat(e.name)
	if err != nil {
		return false, nil // it has just left
	}
	return now.Sub(info.ModTime()) > stale, nil
}

// stale is the ticket's stale timeout, as far as it is known.
func (e *entry) stale() time.Duration {
	switch {
	case e.ticket != nil:
		return e.ticket.stale
	case e.said != nil:
		return e.said.stale
	}
	return 0
}

// isExhausted reports whether the process, or the system, has no more of something
// that it may have again later.
func isExhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// evictSuspects removes the suspects whose owners are gone, with all dead owners if
// there are any, and reports whether there were. It takes the seq lock only if it cannot
// do without.
func (d *directory) evictSuspects(ctx context.Context, s *settings, suspects []*entry) (gone bool, err error) {
	if !lockedfile.CloseBeforeRemove {
		v := &evictor{d: d, ctx: ctx}
		gone, err = v.evictAll(suspects, s.slots)
		queue.Evicted(ctx, v.evicted)
		if gone || err != nil || !d.haveStale(suspects) {
			return gone, err
		}
	}
	l, err := d.lockSeq(ctx, s, longestLook)
	if errors.Is(err, errBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer l.unlock()
	return l.evictAll(suspects, s.slots)
}

func (v *evictor) evictAll(suspects []*entry, slots int) (gone bool, err error) {
	for _, e := range suspects {
		v.d.mu.Lock()
		out, err := v.evict(e)
		v.d.mu.Unlock()
		if err != nil {
			return gone, err
		}
		gone = gone || out
	}
	if gone {
		err = v.evictOwners(slots) // a process that dies often has others with it
	}
	return gone, err
}

// haveStale reports whether one of the tickets can be evicted by its age.
func (k *knownLine) haveStale(entries []*entry) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range entries {
		if e.stale() > 0 {
			return true
		}
	}
	return false
}

// cleanupStale removes the dead owners.
func (d *directory) cleanupStale(ctx context.Context, s *settings) error {
	if empty, err := d.isEmpty(); empty || err != nil {
		return err
	}
	l, err := d.lockSeq(ctx, s, noLimit)
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := l.list(); err != nil {
		return err
	}
	return l.evictOwners(s.slots)
}

// isEmpty reports whether there is no ticket.
func (d *directory) isEmpty() (bool, error) {
	if d.isTaken(1) {
		return false, nil
	}
	if !d.dir.Load().IsCurrent() {
		return false, errDirectoryGone
	}
	names, err := d.names()
	return len(names) == 0, err
}
