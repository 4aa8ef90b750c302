package lockedfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

const (
	openFlags = 0

	// asDirectory is nothing: on Windows no path leads to a FIFO.
	asDirectory = ""

	// ContentOffset is where the content of a file begins. LockFileEx is mandatory:
	// it makes the byte that gofrs/flock locks, the first one, unreadable through
	// every other handle.
	ContentOffset = 1

	// CloseBeforeRemove says that an open file cannot be removed. Between the close
	// and the removal it looks like that of a dead process.
	CloseBeforeRemove = true

	probeFlag      = os.O_RDWR
	movesWhileOpen = false
	hasModes       = false
)

// LinkCount is how many names the file has, as far as package os can tell.
func LinkCount(fs.FileInfo) uint64 { return 1 }

// ChangeTime is when the file's content was last changed: package os tells no more.
func ChangeTime(info fs.FileInfo) time.Time { return info.ModTime() }

const (
	errSharingViolation syscall.Errno = 32 // ERROR_SHARING_VIOLATION
	errBadDescriptor    syscall.Errno = 6  // ERROR_INVALID_HANDLE
)

// isPassing reports whether a file or a directory could not be opened because another
// process has it open to remove it: those that open do not let it be removed meanwhile.
func isPassing(err error) bool { return errors.Is(err, errSharingViolation) }

// remove removes a file. A process that looks whether it is locked has it open for a moment,
// by a handle that does not let it be removed, and so does a scanner for viruses.
func remove(root *os.Root, name string) error {
	for pause := time.Millisecond; ; pause *= 2 {
		err := root.Remove(name)
		if !errors.Is(err, errSharingViolation) || pause > 100*time.Millisecond {
			return err
		}
		time.Sleep(pause)
	}
}

// names lists the directory, by a handle of its own: in Wine, one that has been read once
// answers with the same names again.
func (d *Dir) names() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// RemoveDirectory removes an empty directory. os.Remove alone would also remove
// a file that has taken the directory's place.
func RemoveDirectory(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fs.ErrExist
	}
	return os.Remove(path)
}

func isOwn(fs.FileInfo) bool { return true }

func chmodMade(string, fs.FileMode) error { return nil }

func chmodDirectory(fs.FileInfo, fs.FileMode, func(fs.FileMode) error) error { return nil }

// CheckAccess has nothing to check: permission bits do not say which users may write.
func (d *Dir) CheckAccess(fs.FileMode) error { return nil }

// There is no flock on a directory here.

func (*Dir) Share() bool { return true }

func (*Dir) Exclude() bool { return true }

func (*Dir) Leave() {}

func (*Dir) tryExclusive() error { return nil }

// fileLock has the lock on a handle of its own: the handle for reading the content
// could not read the locked part.
type fileLock struct {
	path   string
	shared bool
	lock   *flock.Flock // nil while it is not locked
}

func newFileLock(d *Dir, _ *os.File, name string, shared bool) fileLock {
	return fileLock{path: d.Path(name), shared: shared}
}

func (l *fileLock) try() (bool, error) {
	lock := flock.New(l.path, flock.SetFlag(os.O_RDWR|openFlags))
	try := lock.TryLock
	if l.shared {
		try = lock.TryRLock
	}
	locked, err := try()
	if isPassing(err) {
		return false, nil
	}
	if locked {
		l.lock = lock
	}
	return locked, err
}

func (l *fileLock) drop() {
	if l.lock != nil {
		dropFlock(l.lock)
		l.lock = nil
	}
}
