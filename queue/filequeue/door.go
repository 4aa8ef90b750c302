package filequeue

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// The way to a number is in order too. A process that does not get the seq lock at once
// puts a file into the directory door, with the name that a ticket would have, and a flock
// on it that ends with the process. Calls that come later see that there is a door, and
// stand behind it. The lowest that is alive goes for the seq lock. A process has one
// at the door at a time: its calls stand behind one another before that.
//
// It is for fairness alone: the order is that of the clock, and a process that cannot
// stand at the door goes for the seq lock as it is. So does one that has stood there for
// long: one in front of it may be stopped. A process that is alone has one look at the
// door, which is not there.

const (
	doorName      = "door"
	longestAtDoor = 100 * time.Millisecond

	// What holds up the first at the door is one call that joins.
	leastAtDoor = 20 * time.Microsecond
	mostAtDoor  = 200 * time.Microsecond
)

// lockToJoin takes the seq lock for a call that joins, when those have joined that have
// come before.
func (d *directory) lockToJoin(ctx context.Context, s *settings) (*seqLock, error) {
	if err := d.seq.enter(ctx, noLimit); err != nil {
		return nil, err
	}
	dir := d.dir.Load()
	if _, err := dir.Lstat(doorName); lockedfile.IsGone(err) {
		l, err := d.tryLockSeq(s)
		if err == nil {
			return l.begin(ctx), nil
		}
		if !errors.Is(err, errBusy) {
			return d.lockSeqEntered(ctx, ctx, s, noLimit)
		}
	}
	if p := standAtDoor(dir, s); p != nil {
		l, err := p.await(ctx, d, s)
		p.leave()
		if l != nil {
			return l.begin(ctx), nil
		}
		if err != nil {
			<-d.seq.sem
			return nil, err
		}
	}
	return d.lockSeqEntered(ctx, ctx, s, noLimit)
}

// place is where a process stands at the door. It is for one goroutine.
type place struct {
	door *lockedfile.Dir
	lock *lockedfile.Lock
	name string
}

// standAtDoor returns nil if the process cannot stand there.
func standAtDoor(dir *lockedfile.Dir, s *settings) *place {
	name, err := newTicketName(clockNumber())
	if err != nil {
		return nil
	}
	const tries = 10 // it is removed with the last one
	for range tries {
		door, err := openDoor(dir, s)
		if lockedfile.IsGone(err) || errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil
		}
		lock, err := door.Create(name, s.fileMode(), s.mode != 0, nil, false)
		if err == nil {
			return &place{door: door, lock: lock, name: name}
		}
		door.Close()
		if !lockedfile.IsGone(err) && !errors.Is(err, lockedfile.ErrBusy) {
			return nil
		}
	}
	return nil
}

func openDoor(dir *lockedfile.Dir, s *settings) (*lockedfile.Dir, error) {
	door, err := lockedfile.Open(dir.Path(doorName))
	if lockedfile.IsGone(err) && dir.IsCurrent() {
		door, err = lockedfile.Make(dir.Path(doorName), s.directoryMode(), "", nil)
	}
	return door, err
}

// await takes the seq lock when the place is the first. It returns neither a lock nor
// an error if the process is to go for it as it is.
func (p *place) await(ctx context.Context, d *directory, s *settings) (*seqLock, error) {
	end := time.Now().Add(longestAtDoor)
	w := poll{least: leastAtDoor, most: mostAtDoor}
	first := false
	for time.Now().Before(end) {
		if !first {
			first = p.isFirst()
		}
		if first {
			l, err := d.tryLockSeq(s)
			if err == nil {
				return l, nil
			}
			if !errors.Is(err, errBusy) {
				return nil, nil // the other way to it knows what to do
			}
		}
		if err := w.wait(ctx); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// isFirst reports whether no other process that is alive stands in front of this one.
func (p *place) isFirst() bool {
	names, err := p.door.Names(isTicketName)
	if err != nil {
		return true
	}
	for _, name := range names {
		if name >= p.name {
			break
		}
		if !removeDead(p.door, name) {
			return false
		}
	}
	return true
}

func (p *place) leave() {
	_ = p.door.Remove(p.name)
	p.lock.Drop()
	_ = p.door.RemoveEmpty() // an error: others stand there
	p.door.Close()
}

// removeDead removes a file at the door if its process is dead, and reports whether it is
// not there any more.
func removeDead(door *lockedfile.Dir, name string) bool {
	f, err := door.OpenToProbe(name)
	if err != nil {
		return !door.Exists(name)
	}
	defer f.Close()
	locked, err := f.TryLock()
	if err != nil || !locked {
		return false
	}
	if lockedfile.CloseBeforeRemove {
		f.Close()
	}
	return door.Remove(name) == nil || !door.Exists(name)
}

// removeDoor removes what processes have left at the door that were killed there.
func removeDoor(dir *lockedfile.Dir) {
	if _, err := dir.Lstat(doorName); err != nil {
		return
	}
	door, err := lockedfile.Open(dir.Path(doorName))
	if err != nil {
		return
	}
	defer door.Close()
	names, _ := door.Names(isTicketName)
	for _, name := range names {
		removeDead(door, name)
	}
	_ = door.RemoveEmpty()
}
