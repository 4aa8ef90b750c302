package lockedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/gofrs/flock"
)

// Lock is a file that was created, and is locked until Drop or until the process is
// gone. It is not for concurrent use.
type Lock struct {
	flock *flock.Flock
	info  fs.FileInfo
	file  *os.File // to write to; nil if there is nothing to write
}

// Create creates the file in the directory and locks it. The name must be one that nothing
// else uses. With content, or with rights that the umask may not take away (exact), it is
// made under another name first. keep says that it will be written to.
//
// It returns ErrBusy if another program was at the file before it was locked and in its
// place, and an error for which IsGone holds if the directory is not there any more.
func (n NewFile) Create(d *Dir, exact, keep bool) (*Lock, error) {
	if exact || len(n.Content) > 0 {
		return n.createStaged(d, keep)
	}
	l := &Lock{flock: flock.New(d.Path(n.Name), flock.SetFlag(os.O_RDWR|os.O_CREATE|os.O_EXCL|openFlags), flock.SetPermissions(n.Mode))}
	err := l.lock(d, n.Name)
	if err == nil && hasModes && l.info.Mode().Perm() != n.Mode {
		// The umask takes rights from the owner. Another process must not find the file without
		// its lock: it would be about to remove it when the next one is at its name. If it
		// cannot be removed, the next one takes its place while it is locked.
		defer l.Drop()
		_ = d.root.Remove(n.Name)
		return n.createStaged(d, keep)
	}
	if err != nil {
		n.removeCreated(d, err)
		return nil, err
	}
	return l, nil
}

func (n NewFile) createStaged(d *Dir, keep bool) (l *Lock, err error) {
	// Renaming in the directory does not need the path, but everything after it does, and
	// the path of the final name may be too long where that of the temporary one is not.
	if _, err := os.Lstat(d.Path(n.Name)); err != nil && !IsGone(err) && d.IsCurrent() {
		return nil, quoted(err)
	}
	made := n.Name
	if movesWhileOpen {
		if made, err = newTemporaryName(); err != nil {
			return nil, err
		}
	}
	f, _, err := n.createAt(d, made)
	if err != nil {
		return nil, err
	}
	l = &Lock{flock: flock.New(d.Path(made), flock.SetFlag(os.O_RDWR|openFlags)), file: f}
	err = l.lock(d, made)
	if err == nil && made != n.Name {
		err = d.lost(d.root.Rename(made, n.Name))
	}
	if err != nil {
		_ = d.root.Remove(made)
		l.Drop()
		return nil, err
	}
	if !keep {
		l.file.Close()
		l.file = nil
	}
	return l, nil
}

// removeCreated removes the file if it was created before the error: it may be in
// the directory that is at the path now.
func (n NewFile) removeCreated(d *Dir, err error) {
	if IsGone(d.root.Remove(n.Name)) && IsGone(err) {
		_ = os.Remove(d.Path(n.Name))
	}
}

// lock locks the file, and makes sure that it is the one in the directory. After an
// error it is not locked.
func (l *Lock) lock(d *Dir, name string) error {
	locked, err := l.flock.TryLock()
	switch {
	case isPassing(err):
		return ErrBusy
	case err != nil && !d.IsCurrent():
		return fs.ErrNotExist
	case IsGone(err):
		return ErrBusy
	case err != nil:
		return quoted(err)
	case !locked:
		return ErrBusy
	}
	if l.info, err = l.flock.Stat(); err == nil {
		var there fs.FileInfo
		there, err = d.root.Lstat(name)
		switch {
		case IsGone(err) || err == nil && !os.SameFile(l.info, there):
			err = ErrBusy
			if !d.IsCurrent() {
				err = fs.ErrNotExist
			}
		case err == nil:
			err = checkRegular(name, there)
		}
	}
	if err != nil {
		dropFlock(l.flock)
		l.info = nil
		return fmt.Errorf("examining %s: %w", name, err)
	}
	return nil
}

// Info describes the file as it was when it was locked.
func (l *Lock) Info() fs.FileInfo { return l.info }

// Is reports whether info is that of this file.
func (l *Lock) Is(info fs.FileInfo) bool { return os.SameFile(l.info, info) }

// File is the file to which the content is written. It is nil unless Create was
// asked to keep it.
func (l *Lock) File() *os.File { return l.file }

// Held reports whether the lock is still held. It is not if other code has closed the
// descriptor, by mistake, and the lock with it.
func (l *Lock) Held() bool {
	info, err := l.flock.Stat()
	if err != nil {
		return !errors.Is(err, errBadDescriptor)
	}
	return os.SameFile(info, l.info)
}

// abandoned has the locks whose descriptors other code has closed. They are kept from
// the garbage collector, which would close the number: it may be that of another file
// by now.
var abandoned struct {
	mu    sync.Mutex
	locks []*flock.Flock
}

// Drop unlocks the file and closes it.
func (l *Lock) Drop() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	if l.info == nil {
		return // never locked
	}
	if !l.Held() {
		abandoned.mu.Lock()
		defer abandoned.mu.Unlock()
		abandoned.locks = append(abandoned.locks, l.flock)
		return
	}
	dropFlock(l.flock)
}

// dropFlock is lock.Unlock, which leaves the file open, and so locked, when its
// system call fails.
func dropFlock(lock *flock.Flock) {
	const tries = 3
	for range tries {
		if lock.Unlock() == nil {
			return
		}
	}
}
