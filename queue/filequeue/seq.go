package filequeue

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// seq is the file seq of a directory. The door guards its fields: it lets in one call of
// this process at a time, and only that one may lock the file, or poll for its lock.
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

	// before is the change time of the directory from before seq was looked at, when it
	// was last locked.
	before time.Time
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

// tryLock takes the flock if it is free, or returns errBusy. Between two polls seq may be
// removed and created anew. The locked file must be the one that is there: all processes
// meet on one inode.
func (q *seq) tryLock(dir *lockedfile.Dir, s *settings, joins bool) (fs.FileInfo, error) {
	if err := q.open(dir, s); err != nil {
		return nil, err
	}
	locked := q.locked
	q.locked = false
	if !locked {
		var err error
		// Where the lock is taken by path, there may be nothing at the path any more.
		if locked, err = q.file.TryLock(); err != nil && !lockedfile.IsGone(err) {
			return nil, err
		}
	}
	if locked && joins && q.seen > 0 {
		q.before = changed(dir)
	}
	info, err := q.file.Verify(dir)
	switch {
	case err == nil && locked:
		return info, nil
	case err == nil:
		return nil, errBusy
	}
	q.close()
	if !dir.IsCurrent() {
		return nil, errDirectoryGone
	}
	return nil, err
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
	case !lockedfile.IsGone(err):
		return fmt.Errorf("opening %s: %w", seqName, err)
	case !dir.IsCurrent():
		return errDirectoryGone // do not create it where no process looks
	case dir.IsHidden():
		q.made = true // only such a directory is hidden
		return restore(dir)
	}
	err = q.create(dir, s, seqContent{made: q.made})
	switch {
	case errors.Is(err, fs.ErrExist):
		return errBusy
	case lockedfile.IsGone(err) && !dir.IsCurrent():
		return errDirectoryGone
	case err != nil: // also where a directory that was removed is mounted
		return fmt.Errorf("creating %s: %w", seqName, err)
	}
	return nil
}

// restore moves the directory back if the process is gone that has hidden it. The error says
// that it cannot be used now, or not any more.
func restore(dir *lockedfile.Dir) error {
	if dir.Restore() != nil {
		return errDirectoryGone
	}
	return errBusy
}

// changed is the change time of the directory, or a time that is never the same where it
// cannot be told.
func changed(dir *lockedfile.Dir) time.Time {
	info, err := dir.Stat()
	if err != nil {
		return time.Now()
	}
	return lockedfile.ChangeTime(info)
}
