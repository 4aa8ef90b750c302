package filequeue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/fifolock/fifolock/queue"
)

// learn makes sure that the line is known in full, as long as the seq lock is
// held. It lists the directory only if somebody else has joined since.
func (l *seqLock) learn() error {
	d := l.d
	if l.known {
		return nil
	}
	// An empty seq in a directory that we have created is one that nobody has
	// locked before us.
	var names []string
	if !d.created.Load() || l.size > 0 {
		var err error
		if names, err = d.list(); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.merge(names)
	d.created.Store(false)
	d.seen, d.seenAt = l.number, l.changed
	l.known = true
	return nil
}

// evictHeads removes the heads whose owners are gone, up to the first whose
// owner is not, among those that are known to be in line.
func (l *seqLock) evictHeads() error {
	for {
		e := l.d.doubtfulHead()
		if e == nil {
			return nil
		}
		if gone, err := l.evict(e); err != nil || !gone {
			return err
		}
	}
}

// doubtfulHead is the first that is known to be in line, nil if there is none
// or if it is certainly alive.
func (d *directory) doubtfulHead() *lineEntry {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.line) == 0 || !d.line[0].doubtful() {
		return nil
	}
	return d.line[0]
}

// head is the first that is there of those that are known, nil if none is.
func (d *directory) head() *lineEntry {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.line) > 0 {
		if e := d.line[0]; d.exists(e.name) {
			return e
		}
		d.forget(0)
	}
	return nil
}

// evict removes the ticket if its owner is gone, and reports whether the
// ticket is not in line any more.
func (l *seqLock) evict(e *lineEntry) (gone bool, err error) {
	if e.own == nil {
		probe, verdict, err := l.probe(e)
		if verdict == dead {
			err = l.bury(e, probe, dead)
		}
		if err != nil || verdict != alive {
			return verdict != alive, err
		}
	}
	old, err := l.tooOld(e)
	if err != nil || !old {
		return false, err
	}
	return true, l.bury(e, nil, alive)
}

// verdict is what was found out about a ticket's owner.
type verdict int

const (
	alive  verdict = iota
	dead           // proven: its flock could be taken, or it never had its mode
	absent         // the ticket is not there, or is not a ticket
)

// probe tries to take the flock of another process's ticket. If the owner is
// dead, the flock, if there is one, is held when it returns, and the caller
// releases it.
func (l *seqLock) probe(e *lineEntry) (*flock.Flock, verdict, error) {
	lock := flock.New(l.d.join(e.name), flock.SetFlag(os.O_RDWR|openFlags))
	locked, err := tryFlock(lock)
	if err != nil {
		return l.probeError(e, err)
	}
	if !locked {
		return nil, alive, nil
	}
	_, err = l.d.verify(e.name, lock)
	if err == nil {
		return lock, dead, nil
	}
	dropFlock(lock)
	var foreign *notOursError
	if errors.Is(err, errBusy) || errors.As(err, &foreign) {
		l.forget(e)
		return nil, absent, nil
	}
	return nil, alive, err
}

// probeError judges by the error of an open.
func (l *seqLock) probeError(e *lineEntry, err error) (*flock.Flock, verdict, error) {
	switch {
	case !l.d.exists(e.name):
		l.forget(e)
		return nil, absent, nil
	case isGone(err) && !l.d.current():
		return nil, alive, errDirectoryGone
	case errors.Is(err, fs.ErrPermission) && l.unfinished(e.name):
		return nil, dead, nil
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return nil, alive, nil // not for us to judge
	}
	return nil, alive, fmt.Errorf("examining %s: %w", e.name, err)
}

// unfinished reports whether the ticket was created for others to use and has
// not got its mode. Its owner gives it the mode with the seq lock held; that is
// ours now, so the owner is gone. It may be of another user, whose file nobody
// else can open to ask for its flock.
func (l *seqLock) unfinished(name string) bool {
	info, err := l.d.root.Lstat(name)
	return err == nil && info.Mode() == unfinished
}

// bury removes the file of a ticket whose owner is gone: dead, with the flock
// that proves it if there is one, or alive and too old.
func (l *seqLock) bury(e *lineEntry, probe *flock.Flock, owner verdict) error {
	if probe != nil {
		if closeBeforeRemove {
			dropFlock(probe)
		} else {
			defer dropFlock(probe)
		}
	}
	err := l.d.root.Remove(e.name)
	switch {
	case err == nil:
		name, _ := parseTicketName(e.name)
		l.evicted = append(l.evicted, queue.Ticket{Number: name.number, Member: e.name})
	case isGone(err): // it has just left by itself
	case owner != dead:
		return fmt.Errorf("removing the stale ticket %s: %w", e.name, err)
	default:
		// Dead it is and dead it stays. It does not stand in line, and whoever
		// may will remove it.
		l.d.mu.Lock()
		l.d.undead[e.name] = struct{}{}
		l.d.mu.Unlock()
	}
	l.forget(e)
	return nil
}

// forget takes the ticket out of the line if it is in it.
func (l *seqLock) forget(e *lineEntry) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if i, ok := l.d.line.index(e.name); ok {
		l.d.forget(i)
	}
}

// tooOld reports whether the ticket has a stale timeout, and has not been
// refreshed for so long. Both times are the file system's. The present one is
// noted first, so that a ticket that is refreshed after that is too old only if
// it was so before; then its owner counts it as lost too (see touch).
func (l *seqLock) tooOld(e *lineEntry) (bool, error) {
	timeout := l.staleTimeout(e)
	if timeout <= 0 {
		return false, nil
	}
	now, err := l.now()
	if err != nil {
		return false, err
	}
	info, err := l.d.root.Lstat(e.name)
	if err != nil {
		return false, nil // it has just left
	}
	return now.Sub(info.ModTime()) > timeout, nil
}

func (l *seqLock) staleTimeout(e *lineEntry) time.Duration {
	if e.own != nil {
		return e.own.stale
	}
	if e.stale < 0 {
		e.stale = l.d.readTicket(e.name)
	}
	return e.stale
}

// now is the present time by the clock of the file system: what it notes when
// seq is written.
func (l *seqLock) now() (time.Time, error) {
	if err := l.writeSeq(l.number); err != nil {
		return time.Time{}, err
	}
	info, err := l.d.seq.Stat()
	if err != nil {
		return time.Time{}, fmt.Errorf("examining %s: %w", seqName, err)
	}
	return info.ModTime(), nil
}
