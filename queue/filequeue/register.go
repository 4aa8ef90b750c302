package filequeue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"

	"github.com/fifolock/fifolock/queue"
)

// register takes a ticket; onlyHead, if nobody is in line.
func (d *directory) register(ctx context.Context, s *fileSettings, onlyHead bool) (t queue.Ticket, ok bool, err error) {
	if onlyHead && d.taken() {
		return queue.Ticket{}, false, nil
	}
	d.joining.Add(1)
	defer func() { d.endJoining(ctx, s, ok) }()
	l, err := d.lockSeq(ctx, s, forAsLong)
	if err != nil {
		return queue.Ticket{}, false, err
	}
	defer l.unlock()
	if err := l.learn(); err != nil {
		return queue.Ticket{}, false, err
	}
	if err := l.evictHeads(); err != nil {
		return queue.Ticket{}, false, err
	}
	if onlyHead && d.head() != nil {
		return queue.Ticket{}, false, nil
	}
	t, err = l.join(s)
	if err != nil {
		l.cleanUp()
	}
	return t, err == nil, err
}

// endJoining ends a call that was about to take a ticket, and reports for duty
// if it has not: somebody may have left the cleaning up to it.
func (d *directory) endJoining(ctx context.Context, s *fileSettings, joined bool) {
	last := d.joining.Add(-1) == 0
	switch {
	case joined:
	case d.created.Load():
		d.undoSeq() // nothing half done: it was created for this
		d.vacate()
	case last && d.isEmptyLine():
		_ = d.tidy(context.WithoutCancel(ctx), s, tidyPatience)
	}
}

// undoSeq removes a seq that was created and could not be locked, unless somebody
// else has used it since.
func (d *directory) undoSeq() {
	if d.enter(context.Background(), notAtAll) != nil {
		return // somebody is at it
	}
	defer func() { <-d.gate }()
	if d.seq == nil || !d.created.Load() {
		return
	}
	d.setSeq(nil, nil) // its descriptor may be the one that was missing
	lock := flock.New(d.join(seqName), flock.SetFlag(os.O_RDWR|openFlags))
	if locked, err := tryFlock(lock); err != nil || !locked {
		return
	}
	defer dropFlock(lock)
	if info, err := d.verify(seqName, lock); err == nil && info.Size() == 0 {
		_ = d.root.Remove(seqName)
	}
}

// taken reports whether it is certain, without the seq lock, that somebody is
// in line and alive: a ticket of this process whose time does not run out.
func (d *directory) taken() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.line) == 0 || d.line[0].own == nil || d.line[0].own.stale > 0 {
		return false
	}
	in, err := d.inLine(d.line[0].own)
	return err == nil && in
}

// join takes the next number and stands in line. The line must be known.
func (l *seqLock) join(s *fileSettings) (queue.Ticket, error) {
	const tries = 3
	for range tries {
		number, err := l.nextNumber()
		if err != nil {
			return queue.Ticket{}, err
		}
		// First the number, then the ticket: a crash in between wastes one, and
		// never gives one out twice.
		if err := l.writeSeq(number); err != nil {
			return queue.Ticket{}, err
		}
		name, err := newTicketName(number)
		if err != nil {
			return queue.Ticket{}, fmt.Errorf("naming the ticket: %w", err)
		}
		own, err := l.createTicket(name, number, s)
		if errors.Is(err, fs.ErrExist) || errors.Is(err, errBusy) {
			continue // somebody has planted it, or removed it at once
		}
		if err != nil {
			return queue.Ticket{}, err
		}
		ahead, err := l.append(own)
		return queue.Ticket{Number: number, Member: name, Ahead: ahead, Lease: s.stale}, err
	}
	return queue.Ticket{}, errors.New("somebody else creates or removes the next tickets: keep others out of the directory")
}

func (l *seqLock) nextNumber() (int64, error) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	return nextNumber(l.number, l.d.highest)
}

// append puts the new ticket at the end of the line.
func (l *seqLock) append(own *ownTicket) (ahead int, err error) {
	d := l.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.retired {
		d.root.Remove(own.name)
		own.close()
		return 0, errDirectoryGone
	}
	ahead = len(d.line)
	own.behind = ahead > 0
	d.insert(ahead, &lineEntry{name: own.name, own: own})
	d.own[own.name] = own
	d.seen = l.number
	d.retain()
	return ahead, nil
}
