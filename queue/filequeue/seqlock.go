package filequeue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// errBusy: the seq lock was not to be had in time, or another program was at a file
// that the queue needs.
var errBusy = errors.New("the queue is busy")

// seq is the file seq of a directory. Its fields are guarded by the door, which is the
// half of the seq lock that this process has to itself: the call that has come in may
// lock the file. So at most one call of the process polls for it.
type seq struct {
	door door

	file   *lockedfile.File // open while the directory is in use; may be nil
	locked bool             // since it was created, until its first use
	made   bool             // the queue has made the directory

	// seen is the number that seq had when the line was known in full, and seenAt
	// its change time then. As long as it has both, and is at its path, no other
	// process has joined. 0 if that cannot be told.
	seen   int64
	seenAt time.Time
	fine   bool // change times tell all changes apart here
}

// create creates seq, locked.
func (q *seq) create(dir *lockedfile.Dir, s *settings, c seqContent) error {
	f, err := s.seqFile(c).CreateLocked(dir, false)
	if err != nil {
		return err
	}
	q.close()
	q.file, q.locked, q.made = f, true, q.made || c.made
	return nil
}

// close closes the file, and unlocks it with that.
func (q *seq) close() {
	if q.file != nil {
		q.file.Close()
	}
	q.file, q.locked, q.seen = nil, false, 0
}

// seqLock is the lock on seq while it is held. What must not happen to a queue in two
// places at once is a method of it, or is given it.
type seqLock struct {
	*directory
	s *settings
	evictor

	size    int64       // of seq
	content seqContent  // what seq says
	valid   bool        // whether it says anything at all
	changed time.Time   // the change time of seq
	rights  fs.FileMode // those of seq
	now     time.Time   // the time of the file system, when this lock has last written seq
	same    bool        // seq is as this process has left it, when the line was known
}

// How long to wait for the seq lock.
const (
	notAtAll = time.Duration(0)
	noLimit  = time.Duration(-1) // but that of the ctx
)

// lockSeq takes the seq lock. It never creates the directory, but seq.
func (d *directory) lockSeq(ctx context.Context, s *settings, wait time.Duration) (*seqLock, error) {
	caller := ctx
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, wait, errBusy)
		defer cancel()
	}
	if err := d.seq.door.enter(ctx, wait); err != nil {
		return nil, err
	}
	l, err := d.awaitSeq(ctx, s, wait)
	if err != nil {
		d.seq.door.leave(d.dir.Load(), func() {})
		return nil, err
	}
	l.evictor = evictor{d: l.directory, ctx: caller, now: l.time}
	return l, nil
}

// awaitSeq is for the call that has come in at the door.
func (d *directory) awaitSeq(ctx context.Context, s *settings, wait time.Duration) (*seqLock, error) {
	dir := d.dir.Load()
	p := poll{nap: true}
	for {
		first, nearer := true, false
		if wait != notAtAll {
			first, nearer = d.seq.door.isFirst(dir)
		}
		err := errBusy
		if first || d.seq.locked {
			var l *seqLock
			if l, err = d.tryLockSeq(s); err == nil {
				d.seq.door.move(dir, 0)
				return l, nil
			}
		}
		if !errors.Is(err, errBusy) || wait == notAtAll {
			return nil, err
		}
		d.seq.door.stand(dir)
		if nearer {
			p = poll{nap: true}
		}
		if err := p.wait(ctx); err != nil {
			return nil, waitError(ctx)
		}
	}
}

// waitError tells the end of the caller's ctx from that of a shorter wait.
func waitError(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errBusy) {
		return errBusy
	}
	return ctx.Err()
}

// tryLockSeq takes the flock on seq if it is free, or returns errBusy. Between
// two polls seq may be removed and created anew. What was locked must be what is
// there: all processes meet on one inode.
func (d *directory) tryLockSeq(s *settings) (*seqLock, error) {
	if err := d.seq.open(d.dir.Load(), s); err != nil {
		return nil, err
	}
	dir, f := d.dir.Load(), d.seq.file
	locked := d.seq.locked
	d.seq.locked = false
	if !locked {
		var err error
		if locked, err = f.TryLock(); err != nil {
			return nil, err
		}
	}
	info, err := f.Verify(dir)
	if err != nil {
		d.seq.close()
		if !dir.IsCurrent() {
			return nil, errDirectoryGone
		}
		if errors.Is(err, lockedfile.ErrBusy) {
			err = errBusy
		}
		return nil, err
	}
	if !locked {
		return nil, errBusy
	}
	l := &seqLock{directory: d, s: s}
	if err := l.read(info); err != nil {
		d.seq.close()
		return nil, err
	}
	return l, nil
}

// open makes sure that seq is open, and creates it if there is none.
func (q *seq) open(dir *lockedfile.Dir, s *settings) error {
	if q.file != nil {
		return nil
	}
	f, err := dir.OpenToWrite(seqName)
	switch {
	case err == nil:
		q.file = f
		return nil
	case errors.Is(err, lockedfile.ErrBusy):
		return errBusy
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("opening %s: %w: it belongs to another user: all programs that share the queue must give WithFileMode", seqName, err)
	case !lockedfile.IsGone(err):
		return fmt.Errorf("opening %s: %w", seqName, err)
	case !dir.IsCurrent():
		return errDirectoryGone // do not create it where no process looks
	}
	err = q.create(dir, s, seqContent{made: q.made})
	switch {
	case errors.Is(err, fs.ErrExist) || errors.Is(err, lockedfile.ErrBusy):
		return errBusy
	case lockedfile.IsGone(err):
		return errDirectoryGone
	case err != nil:
		return fmt.Errorf("creating %s: %w", seqName, err)
	}
	return nil
}

// read reads seq, which is locked. One that has another name too (a backup of hard
// links) is replaced: the content behind the other name is never touched.
func (l *seqLock) read(info fs.FileInfo) error {
	q := &l.seq
	l.size, l.changed, l.rights = info.Size(), lockedfile.ChangeTime(info), info.Mode().Perm()
	if l.size > lockedfile.ContentOffset+longestSeq {
		return &lockedfile.NotOursError{Name: seqName, What: fmt.Sprintf("a file of %d bytes", l.size)}
	}
	l.content, l.valid = readSeq(q.file, l.size)
	q.made = q.made || l.content.made
	l.content.made = q.made
	l.same = l.valid && q.fine && q.seen > 0 && l.content.number == q.seen && l.changed.Equal(q.seenAt)
	if lockedfile.LinkCount(info) == 1 {
		return nil
	}
	f, err := l.s.seqFile(l.content).CreateLocked(l.dir.Load(), true)
	if err != nil {
		return fmt.Errorf("replacing %s, which has another name too: %w", seqName, err)
	}
	q.close()
	q.file = f
	l.size, l.same = lockedfile.ContentOffset+int64(seqSize), false
	return nil
}

// write writes what seq says, and notes the time of the file system.
func (l *seqLock) write(c seqContent) error {
	f := l.seq.file
	l.seq.seen = 0
	_, err := f.WriteAt(c.bytes(), lockedfile.ContentOffset)
	if err == nil && l.size > lockedfile.ContentOffset+int64(seqSize) {
		err = f.Truncate(lockedfile.ContentOffset + int64(seqSize))
	}
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", seqName, err)
	}
	l.content, l.valid, l.size, l.same = c, true, info.Size(), false
	l.now, l.changed = info.ModTime(), lockedfile.ChangeTime(info)
	l.seq.fine = l.seq.fine || lockedfile.IsFine(l.changed)
	return nil
}

// isUntouched reports whether seq is at its path, and was not touched since this lock
// has last written it.
func (l *seqLock) isUntouched() bool {
	info, err := l.seq.file.Verify(l.dir.Load())
	return err == nil && lockedfile.LinkCount(info) == 1 && lockedfile.ChangeTime(info).Equal(l.changed)
}

// time is the present time by the clock of the file system: what it notes when
// seq is written.
func (l *seqLock) time() (time.Time, error) {
	if !l.now.IsZero() {
		return l.now, nil // of this lock, and so before what it is compared with
	}
	err := l.write(l.content)
	return l.now, err
}

func (l *seqLock) unlock() {
	l.seq.door.leave(l.dir.Load(), func() {
		if l.seq.file != nil {
			l.seq.file.Unlock()
		}
	})
	queue.Evicted(l.evictor.ctx, l.evicted)
}
