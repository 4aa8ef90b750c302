package filequeue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// call is one call of a Queue, or the cleaning up after the last, with the directory open.
type call struct {
	*knownLine // of the directory

	seq      *seq
	ctx      context.Context
	s        *settings
	cleansUp *atomic.Bool   // cleanUp of the directory
	evicted  []queue.Ticket // told to the caller when no lock is held any more

	// clock is that of the file system. nil without the seq lock: then no ticket is
	// evicted by its age.
	clock func() (time.Time, error)
}

// seqLock is the held lock on seq. What needs the lock is a method of it, or is called by
// one. One goroutine uses it.
type seqLock struct {
	*call // which evicts by age, too, while the lock is held

	size    int64       // of seq
	content seqContent  // of seq
	changed time.Time   // the change time of seq
	rights  fs.FileMode // those of seq
	now     time.Time   // the time of the file system, when this lock has last written seq
	valid   bool        // seq has a valid content; if not, content is none, but for made
	same    bool        // seq is as this process has left it, when the line was known
}

// lockSeq takes the seq lock. It creates seq if need be, never the directory. For a call
// that comes to register, the error is errServed if another one has done that.
func (c *call) lockSeq(wait time.Duration, r *registration) (*seqLock, error) {
	ctx := c.ctx
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, wait, errBusy)
		defer cancel()
	}
	if err := c.seq.door.enter(ctx, wait, r); err != nil {
		return nil, err
	}
	info, err := c.await(ctx, wait, r != nil)
	if err == nil {
		l := &seqLock{call: c}
		if err = l.read(info); err == nil {
			c.seq.door.move(c.dir, 0)
			c.clock = l.time
			return l, nil
		}
		c.seq.close()
	}
	c.seq.door.leave(c.dir, func() {})
	return nil, err
}

// await locks the file, for the call that has come in at the door, and describes it then.
func (c *call) await(ctx context.Context, wait time.Duration, joins bool) (fs.FileInfo, error) {
	var p poll
	for {
		first, nearer := true, false
		if wait != notAtAll {
			first, nearer = c.seq.door.isFirst(c.dir)
		}
		err := errBusy
		if first || c.seq.locked {
			var info fs.FileInfo
			if info, err = c.seq.tryLock(c.dir, c.s, joins); err == nil {
				return info, nil
			}
		}
		if !errors.Is(err, errBusy) || wait == notAtAll {
			return nil, err
		}
		c.seq.door.stand(c.dir)
		if nearer {
			p = poll{}
		}
		if err := p.wait(ctx); err != nil {
			return nil, waitError(ctx)
		}
	}
}

// read reads seq, which is locked, and mends what another program has made of it.
func (l *seqLock) read(info fs.FileInfo) error {
	q := l.seq
	l.size, l.changed, l.rights = info.Size(), lockedfile.ChangeTime(info), lockedfile.Rights(info)
	if l.size > lockedfile.ContentOffset+longestSeq {
		return &lockedfile.NotOursError{Name: seqName, What: fmt.Sprintf("a file of %d bytes", l.size)}
	}
	content, valid, err := readSeq(q.file, l.size)
	if err != nil { // not a damaged one, which the next number repairs
		return fmt.Errorf("reading %s: %w", seqName, err)
	}
	said := content.made
	q.made = q.made || said
	content.made = q.made
	l.content = content
	l.valid = valid
	l.same = valid && q.fine && q.seen > 0 && l.content.number == q.seen && l.changed.Equal(q.seenAt)
	switch {
	case lockedfile.LinkCount(info) != 1:
		return l.replace()
	case valid && q.made && !said:
		return l.write(l.content) // this process may leave before it takes a number
	}
	return nil
}

// replace replaces a seq that has another name too (a backup of hard links): the content
// behind the other name is never touched.
func (l *seqLock) replace() error {
	anew := l.s.seqFile(l.content)
	anew.Mode = l.rights
	f, err := anew.CreateLocked(l.dir, true)
	if err != nil {
		return fmt.Errorf("replacing %s, which has another name too: %w", seqName, err)
	}
	l.seq.close()
	l.seq.file = f
	l.size, l.same = lockedfile.ContentOffset+int64(seqSize), false
	return nil
}

// write writes the content of seq, and notes the time of the file system.
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
	info, err := l.seq.file.Verify(l.dir)
	return err == nil && lockedfile.LinkCount(info) == 1 && lockedfile.ChangeTime(info).Equal(l.changed)
}

// time is the present time by the clock of the file system: the time that it
// notes when seq is written.
func (l *seqLock) time() (time.Time, error) {
	if !l.now.IsZero() {
		return l.now, nil // of this lock, and so before the times that it is compared with
	}
	err := l.write(l.content)
	return l.now, err
}

func (l *seqLock) unlock() {
	l.seq.door.leave(l.dir, func() {
		if l.seq.file != nil {
			l.seq.file.Unlock()
		}
	})
	l.clock = nil
}

// list makes the line that of the directory.
func (l *seqLock) list() error {
	return l.relist(func() ([]string, error) { return ticketNames(l.dir) })
}
