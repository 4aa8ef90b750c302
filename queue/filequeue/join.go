package filequeue

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// Why at most one process owns, even if other programs remove, replace or change seq.
//
// A process that joins has locked seq. It writes its number, and notes the change time T
// that the file has then. It lists the directory, creates its ticket and locks that, and
// looks at seq once more: at time C it is the file at the path, and its change time is
// still T. If not, the ticket is withdrawn and taken anew. From T to C, therefore, the file
// was at the path all the time, since to remove it, to replace it, to move it away and
// back, or to write to it, changes the change time; and it was locked by this process all
// the time. So the times from T to C of two processes do not overlap: one has its ticket in
// the directory, and its lock on it, before the other one lists.
//
// The listing is left out only if it is proven that no other process has joined since
// this one last had the whole line, at a C of its own: seq, at its path, has the number
// and the change time of then, and between that look and the new T nothing was created or
// removed in the directory, as its own change time shows, which is read before that look:
// what comes in between is seen by one of the two. Where the system does not tell
// all changes apart by their times, the directory is always listed, and a file that was
// moved away and back, or rewritten as it was, within one step of the clock, between T and
// C, goes unnoticed.

// register takes a ticket; onlyFree, if it owns at once.
func (c *call) register(onlyFree bool) (t queue.Ticket, ok bool, err error) {
	if onlyFree && c.isTaken(c.s.slots()) {
		joining := kindOf(c.s.owners)
		return queue.Ticket{}, false, c.checkKind(joining, joining) // the line may have changed: what is not known is no error
	}
	var p poll
	r := &registration{ctx: c.ctx, s: c.s, onlyFree: onlyFree, alone: onlyFree}
	for {
		err = c.tryRegister(r)
		if !errors.Is(err, errBusy) {
			return r.ticket, r.taken != nil, err
		}
		// seq was taken away, or the directory, or another program was at the ticket at once.
		if err = restore(c.dir); !errors.Is(err, errBusy) {
			return queue.Ticket{}, false, err
		}
		// For one ticket seq must be left in peace for less time than for many.
		r.alone, r.served = true, false
		if err := p.wait(c.ctx); err != nil {
			return queue.Ticket{}, false, err
		}
	}
}

func (c *call) tryRegister(r *registration) error {
	l, err := c.lockSeq(noLimit, r)
	if errors.Is(err, errServed) {
		return r.err
	}
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := l.checkShared(); err != nil {
		return err
	}
	if r.onlyFree {
		free, err := l.isFree()
		if err != nil || !free {
			return err
		}
	}
	all := []*registration{r}
	if !r.alone {
		for _, v := range l.seq.door.companions(l.dir, l.s) {
			v.r.served, v.r.err = true, errBusy
			defer close(v.turn)
			all = append(all, v.r)
		}
	}
	l.join(all)
	return r.err
}

// checkShared refuses a process that would join others of another user without sharing
// its ticket with them: if it died, none of them could tell.
func (l *seqLock) checkShared() error {
	// A user that may read and write seq, and write to the directory, can join. It must be
	// able to read a ticket to tell whether the owner is dead.
	const read = 0o044
	write := ((l.rights & read) >> 1) & l.rights & l.dir.Info().Mode()
	if write<<1&^l.s.fileMode() == 0 {
		return nil
	}
	return fmt.Errorf("%s is shared with other users (%v): give WithFileMode(%#o) in this program, too", seqName, l.rights, uint32(l.rights))
}

// isFree reports whether a ticket that is taken now would own, as far as is known before
// it has a number. It is an error if the line is of the other kind, also when it is not
// free.
func (l *seqLock) isFree() (bool, error) {
	if !l.same {
		if err := l.list(); err != nil {
			return false, err
		}
	}
	if err := l.evictOwners(l.s.slots()); err != nil {
		return false, err
	}
	n, _ := l.known()
	if n >= l.s.slots() && !l.dir.IsCurrent() {
		return false, errDirectoryGone
	}
	free := n < l.s.slots()
	err := l.checkKind(l.content.kind, kindOf(l.s.owners))
	if !free && errors.Is(err, errBusy) { // what is not known yet is no error
		return false, nil
	}
	return free, err
}

// join takes the next numbers and stands in line, for each of the calls.
func (l *seqLock) join(all []*registration) {
	number, err := l.takeNumbers(int64(len(all)))
	before, _ := l.known()
	for i, r := range all {
		switch {
		case err != nil:
			r.err = err
		case r.onlyFree && before >= l.s.slots():
			r.err = nil
			return // another process has come before, through another seq; r is alone
		default:
			r.taken, r.err = createTicket(l.dir, number+int64(i), l.s)
		}
	}
	untouched := err == nil && l.isUntouched()
	for _, r := range all {
		if r.err == nil && !untouched {
			r.err = errBusy
		}
		if r.err == nil {
			r.ticket, r.err = l.append(r.taken)
		}
		if r.err != nil && r.taken != nil {
			r.taken.withdraw()
			r.taken = nil
		}
	}
	if untouched && l.seq.fine {
		l.seq.seen, l.seq.seenAt = l.content.number, l.changed
	}
}

// takeNumbers writes the last of the numbers that so many tickets will have, makes sure that
// the line is known in full, and is of the kind that the tickets are for, and returns the
// first.
func (l *seqLock) takeNumbers(count int64) (int64, error) {
	const tries = 5
	same := l.same
	c, said, joining := l.content, l.content.kind, kindOf(l.s.owners)
	for range tries {
		_, highest := l.known()
		number, err := nextNumber(c.number, highest, count)
		if err != nil {
			return 0, err
		}
		c.number = number + count - 1
		// First the number, then the ticket: a crash in between wastes one, and
		// never gives one out twice.
		if err := l.write(c); err != nil {
			return 0, err
		}
		if !same || !changed(l.dir).Equal(l.seq.before) {
			if err := l.list(); err != nil {
				return 0, err
			}
		}
		same = false
		if err := l.evictOwners(l.s.slots()); err != nil {
			return 0, err
		}
		_, highest = l.known()
		if highest >= number {
			continue // of a ticket that seq did not know
		}
		if err := l.checkKind(said, joining); err != nil {
			return 0, err
		}
		if c.kind == joining {
			return number, nil
		}
		// Not before: if the call is refused, or fails, seq must not say the kind of a ticket
		// that has not joined.
		c.kind, c.number = joining, number-1
	}
	return 0, errBusy
}

// createTicket creates the ticket's file and takes its flock. If it returns an
// error, there is no file. The seq lock is held.
func createTicket(dir *lockedfile.Dir, number int64, s *settings) (*ticket, error) {
	name, err := newTicketName(number)
	if err != nil {
		return nil, fmt.Errorf("naming the ticket: %w", err)
	}
	file := lockedfile.NewFile{Name: name, Mode: s.fileMode(), Content: s.content().bytes()}
	lock, err := file.Create(dir, s.mode != 0, s.stale > 0)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, errBusy // removed or locked at once: another program is at it
	case lockedfile.IsGone(err):
		return nil, errDirectoryGone
	case err != nil:
		return nil, fmt.Errorf("creating the ticket: %w", err)
	}
	return &ticket{dir: dir, name: name, number: number, terms: s.content(), lock: lock, seen: lock.Info().ModTime()}, nil
}

// append puts the new ticket at the end of the line.
func (l *seqLock) append(t *ticket) (queue.Ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return queue.Ticket{}, errDirectoryGone
	}
	i := l.line.joined(&entry{name: t.name, number: t.number, slots: t.slots(), ticket: t, said: &t.terms})
	n := l.line.ahead(i)
	t.waited = n > 0
	if t.waited {
		for _, e := range l.line.owners(t.slots()) {
			if e.ticket == nil {
				_ = e.openProbe(l.dir) // while there are descriptors
			}
		}
	}
	return queue.Ticket{Number: t.number, Member: t.name, Ahead: n, Lease: t.terms.stale}, nil
}
