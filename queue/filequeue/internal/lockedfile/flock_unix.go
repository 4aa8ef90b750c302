//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package lockedfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A flock needs no right to write. What gofrs/flock has locked it closes with the
// lock; this one is on a file that stays open.

const probeFlag = os.O_RDONLY

type fileLock struct {
	file   *os.File
	how    int
	locked bool
}

func newFileLock(_ *Dir, f *os.File, _ string, shared bool) fileLock {
	if shared {
		return fileLock{file: f, how: unix.LOCK_SH}
	}
	return fileLock{file: f, how: unix.LOCK_EX}
}

func (l *fileLock) try() (bool, error) {
	err := unix.Flock(int(l.file.Fd()), l.how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return false, nil
	}
	l.locked = err == nil
	return l.locked, err
}

func (l *fileLock) drop() {
	const tries = 3
	for i := 0; l.locked && i < tries; i++ {
		l.locked = unix.Flock(int(l.file.Fd()), unix.LOCK_UN) != nil
	}
}

func shareFlock(f *os.File) bool {
	return !errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

func excludeFlock(f *os.File) error {
	err := tryExclusive(f)
	if isPassing(err) {
		// Two that try at the same time must not both fail because of the other one's
		// shared flock. On Linux to try has dropped it already.
		dropDirectoryFlock(f)
		err = tryExclusive(f)
	}
	return err
}

func tryExclusive(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

func dropDirectoryFlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) }
