package filequeue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/fifolock/fifolock/queue"
)

// ownTicket is a ticket of this process. The flock on its file is held for as
// long as it lives; that is what shows the others that its owner does.
type ownTicket struct {
	name   string
	number int64
	lock   *flock.Flock
	info   fs.FileInfo // of the locked file
	stale  time.Duration

	bell bell

	// Guarded by the directory's mu.
	seen      time.Time // the file's time stamp since the last sign of life
	listening string    // path of the foreign predecessor's file, if any
	behind    bool      // has had somebody in front, and was not the head yet
	closed    bool
}

// createTicket creates the ticket's file and takes its flock. If it returns an
// error, there is no file.
func (l *seqLock) createTicket(name string, number int64, s *fileSettings) (*ownTicket, error) {
	d := l.d
	f, err := d.create(name, s)
	if err != nil {
		if isGone(err) {
			return nil, errDirectoryGone
		}
		return nil, fmt.Errorf("creating the ticket: %w", err)
	}
	t := &ownTicket{name: name, number: number, stale: s.stale}
	if t.stale > 0 {
		err = t.write(f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.lockTicket(t)
	}
	if err != nil {
		d.root.Remove(name)
		return nil, err
	}
	return t, nil
}

// write writes what the ticket's file says: its stale timeout. A ticket without
// one has an empty file.
func (t *ownTicket) write(f *os.File) error {
	if _, err := f.WriteAt([]byte(t.stale.String()+"\n"), contentOffset); err != nil {
		return fmt.Errorf("writing the ticket: %w", err)
	}
	return nil
}

// lockTicket takes the flock on a ticket's file that was just created. Nobody
// else takes it: tickets are probed under the seq lock only.
func (d *directory) lockTicket(t *ownTicket) error {
	t.lock = flock.New(d.join(t.name), flock.SetFlag(os.O_RDWR|openFlags))
	locked, err := tryFlock(t.lock)
	switch {
	case err != nil && !d.current():
		return errDirectoryGone
	case isGone(err):
		return errBusy // removed at once: somebody clears the directory
	case err != nil:
		return fmt.Errorf("locking the ticket: %w", err)
	case !locked:
		return errors.New("locking the ticket: somebody else holds the lock on a file that was just created")
	}
	if t.info, err = d.verify(t.name, t.lock); err != nil {
		dropFlock(t.lock)
		return err
	}
	t.seen = t.info.ModTime()
	return nil
}

// abandoned has the locks whose descriptor somebody else has closed. They are
// kept from being finalized: the number may be that of another file by now.
var abandoned struct {
	sync.Mutex
	locks []*flock.Flock
}

// close drops the flock, and with it the descriptor. The directory's mu is held.
func (t *ownTicket) close() {
	if t.closed {
		return
	}
	t.closed = true
	if !t.locked() {
		abandoned.Lock()
		defer abandoned.Unlock()
		abandoned.locks = append(abandoned.locks, t.lock)
		return
	}
	dropFlock(t.lock)
}

// locked reports whether the descriptor is still that of the ticket's file.
func (t *ownTicket) locked() bool {
	info, err := t.lock.Stat()
	return err == nil && os.SameFile(info, t.info)
}

// ownTicket returns the ticket if this process has taken it, nil if not. mu is
// held.
func (d *directory) ownTicket(t queue.Ticket) *ownTicket {
	if own := d.own[t.Member]; own != nil && own.number == t.Number {
		return own
	}
	return nil
}

// inLine reports whether the ticket's file is still at its path. By path, so
// that a directory that was moved away is noticed too.
func (d *directory) inLine(t *ownTicket) (bool, error) {
	info, err := os.Lstat(d.join(t.name))
	switch {
	case err == nil:
		return os.SameFile(info, t.info), nil
	case isGone(err):
		return false, nil
	}
	return false, fmt.Errorf("looking for the ticket: %w", err)
}

// readTicket returns the stale timeout that the ticket's file says it has, 0 if
// it says nothing that makes sense.
func (d *directory) readTicket(name string) time.Duration {
	f, err := d.root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	var buf [64]byte // bounded, whatever somebody has put there
	n, _ := f.ReadAt(buf[:], contentOffset)
	line, _, ok := strings.Cut(string(buf[:n]), "\n")
	timeout, err := time.ParseDuration(line)
	if !ok || err != nil || timeout < leastFileStaleTimeout {
		return 0
	}
	return timeout
}
