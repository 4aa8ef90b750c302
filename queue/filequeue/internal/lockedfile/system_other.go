//go:build !unix

package lockedfile

import (
	"io/fs"
	"os"
)

const (
	openFlags = 0

	// ContentOffset is where the content of a file begins. LockFileEx is mandatory:
	// it makes the byte that gofrs/flock locks, the first one, unreadable through
	// every other handle.
	ContentOffset = 1

	// CloseBeforeRemove says that an open file cannot be removed. Between the close
	// and the removal it looks like that of a dead process.
	CloseBeforeRemove = true

	movesWhileOpen = false
	hasModes       = false
)

// LinkCount is how many names the file has, as far as package os can tell.
func LinkCount(fs.FileInfo) uint64 { return 1 }

func isPassing(error) bool { return false }

// removeDirectory removes an empty directory. os.Remove alone would also remove
// a file that has taken the directory's place.
func removeDirectory(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fs.ErrExist
	}
	return os.Remove(path)
}

func (d *Dir) isOwn() bool { return true }

func chmodMade(string, fs.FileMode) error { return nil }

func chmodDirectory(fs.FileInfo, fs.FileMode, func(fs.FileMode) error) error { return nil }

// CheckAccess has nothing to check: permission bits do not say who may write.
func (d *Dir) CheckAccess(fs.FileMode) error { return nil }
