//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package lockedfile

import (
	"os"

	"github.com/gofrs/flock"
)

const probeFlag = os.O_RDWR

// fileLock has the lock on a handle of its own: on some systems the one that the
// content is read through could not read what is locked.
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

func shareFlock(*os.File) bool { return true }

func excludeFlock(*os.File) error { return nil }

func tryExclusive(*os.File) error { return nil }

func dropDirectoryFlock(*os.File) {}
