package filequeue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"

	"github.com/fifolock/fifolock/queue"
)

const seqName = "seq"

// seqLock is the lock on seq while it is held. Everything that must not happen
// to a queue in two places at once is a method of it.
type seqLock struct {
	d    *directory
	lock *flock.Flock

	size    int64     // of seq
	changed time.Time // when seq was last changed before it was locked
	number  int64     // what seq has
	valid   bool      // whether that is a number at all
	known   bool      // whether the line is known in full

	ctx     context.Context // of the call that holds it
	evicted []queue.Ticket  // by this call; told when the lock is released
}

// How long to wait for the seq lock.
const (
	notAtAll  = time.Duration(0)
	forAsLong = time.Duration(-1) // as ctx allows
)

// errBusy: the seq lock was not to be had in time.
var errBusy = errors.New("the queue is busy")

// lockSeq takes the seq lock. It never creates the directory, but seq.
func (d *directory) lockSeq(ctx context.Context, s *fileSettings, patience time.Duration) (*seqLock, error) {
	caller := ctx
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, patience, errBusy)
		defer cancel()
	}
	if err := d.enter(ctx, patience); err != nil {
		return nil, err
	}
	var p poll
	for {
		l, err := d.tryLockSeq(s)
		if err == nil {
			l.number, l.valid = readSeq(d.seq, l.size)
			l.known = l.valid && l.number == d.seen && d.seen > 0 && !l.changed.After(d.seenAt)
			l.ctx = caller
			return l, nil
		}
		if errors.Is(err, errBusy) && patience != notAtAll {
			if err = p.wait(ctx); err == nil {
				continue
			}
			err = waitError(ctx)
		}
		<-d.gate
		return nil, err
	}
}

// enter goes through the gate.
func (d *directory) enter(ctx context.Context, patience time.Duration) error {
	select {
	case d.gate <- struct{}{}:
		return nil
	default:
	}
	if patience == notAtAll {
		return errBusy
	}
	select {
	case d.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return waitError(ctx)
	}
}

// waitError tells the end of the caller's ctx from that of our patience.
func waitError(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errBusy) {
		return errBusy
	}
	return ctx.Err()
}

// tryLockSeq takes the flock on seq if it is free, or returns errBusy. Between
// two polls seq may be removed and created anew; so each opens it again, and
// what was locked must be what is there: all lockers meet on one inode.
func (d *directory) tryLockSeq(s *fileSettings) (*seqLock, error) {
	if d.created.Load() && d.seq == nil {
		if err := d.createSeq(s); err != nil {
			return nil, err
		}
	}
	lock := flock.New(d.join(seqName), flock.SetFlag(os.O_RDWR|openFlags))
	locked, err := tryFlock(lock)
	switch {
	case isGone(err) && !d.current():
		return nil, errDirectoryGone // do not create it where nobody looks
	case isGone(err):
		if err := d.createSeq(s); err != nil {
			return nil, err
		}
		return nil, errBusy
	case err != nil:
		return nil, d.refusal(seqName, err)
	case !locked:
		return nil, errBusy
	}
	info, err := d.verify(seqName, lock)
	if err == nil {
		err = d.openSeq(info)
	}
	if err != nil {
		dropFlock(lock)
		return nil, err
	}
	return &seqLock{d: d, lock: lock, size: info.Size(), changed: changeTime(info)}, nil
}

// createSeq creates seq unless somebody is faster.
func (d *directory) createSeq(s *fileSettings) error {
	f, err := d.create(seqName, s)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case isGone(err):
		return errDirectoryGone
	case err != nil:
		return fmt.Errorf("creating %s: %w", seqName, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("creating %s: %w", seqName, err)
	}
	d.setSeq(f, info)
	return nil
}

// create creates a file in the directory, with its mode whatever the umask. A
// ticket that others may use has the mode unfinished until then.
func (d *directory) create(name string, s *fileSettings) (*os.File, error) {
	mode := s.fileMode()
	if s.mode != 0 && name != seqName {
		mode = unfinished
	}
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|openFlags, mode)
	if err != nil || s.mode == 0 {
		return f, err
	}
	if err := f.Chmod(s.fileMode()); err != nil {
		f.Close()
		d.root.Remove(name)
		return nil, err
	}
	return f, nil
}

// verify returns what was locked, having made sure that it is the regular file
// that the directory has under the name. gofrs/flock opens by path, so it may
// be something else: the path is of another directory by now, or the file was
// removed (errBusy), or it is nothing that we would touch.
func (d *directory) verify(name string, lock *flock.Flock) (fs.FileInfo, error) {
	locked, err := lock.Stat()
	if err != nil {
		return nil, fmt.Errorf("examining %s: %w", name, err)
	}
	there, err := d.root.Lstat(name)
	switch {
	case isGone(err) || err == nil && !os.SameFile(locked, there):
		if !d.current() {
			return nil, errDirectoryGone
		}
		return nil, errBusy
	case err != nil:
		return nil, fmt.Errorf("examining %s: %w", name, err)
	case !there.Mode().IsRegular() || linkCount(there) > 1:
		return nil, notOurs(name, there)
	}
	return locked, nil
}

// refusal explains why a file could not be opened to be locked.
func (d *directory) refusal(name string, err error) error {
	if info, lerr := d.root.Lstat(name); lerr == nil && !info.Mode().IsRegular() {
		return notOurs(name, info)
	}
	return fmt.Errorf("locking %s: %w", name, err)
}

// notOursError is for a file that no queue would create.
type notOursError struct {
	name string
	what string
}

func (e *notOursError) Error() string {
	return fmt.Sprintf("%s is %s, which this queue did not put there: remove it", e.name, e.what)
}

func notOurs(name string, info fs.FileInfo) error {
	what := "not a regular file"
	switch {
	case info.Mode().IsRegular():
		what = "a file with more than one name (hard link)"
	case info.IsDir():
		what = "a directory"
	case info.Mode()&fs.ModeSymlink != 0:
		what = "a symbolic link"
	case info.Mode()&fs.ModeNamedPipe != 0:
		what = "a FIFO"
	case info.Mode()&fs.ModeDevice != 0:
		what = "a device"
	}
	return &notOursError{name: name, what: what}
}

// openSeq makes sure that seq is open for reading and writing, and is the file
// that was locked.
func (d *directory) openSeq(locked fs.FileInfo) error {
	if d.seq != nil && os.SameFile(d.seqInfo, locked) {
		return nil
	}
	f, err := d.root.OpenFile(seqName, os.O_RDWR|openFlags, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", seqName, err)
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(info, locked) {
		err = errBusy
	}
	if err != nil {
		f.Close()
		return err
	}
	d.setSeq(f, info)
	return nil
}

// setSeq replaces the open seq. f may be nil.
func (d *directory) setSeq(f *os.File, info fs.FileInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seq != nil {
		d.seq.Close()
		d.seen = 0
	}
	d.seq, d.seqInfo = f, info
}

func (l *seqLock) unlock() {
	// Closes the descriptor, which is what releases the lock; there is nothing
	// to be done about an error.
	dropFlock(l.lock)
	<-l.d.gate
	queue.Evicted(l.ctx, l.evicted)
}
