//go:build !unix

package filequeue

import (
	"io/fs"
	"os"
)

const (
	openFlags = 0

	// contentOffset is where the content of seq and of ticket files begins.
	// LockFileEx is mandatory: it makes the byte that gofrs/flock locks, the
	// first one, unreadable through every other handle.
	contentOffset = 1

	// unfinished is the mode that a shared ticket is created with. There is no
	// umask to take anything away from it.
	unfinished fs.FileMode = 0o600

	// closeBeforeRemove says that an open file cannot be removed. Between the
	// close and the removal a ticket looks dead; both are done under the seq
	// lock, without which nobody judges.
	closeBeforeRemove = true
)

// linkCount is how many names the file has, as far as package os can tell.
func linkCount(fs.FileInfo) uint64 { return 1 }

// removeDirectory removes an empty directory. os.Remove alone would also remove
// a file that has taken the directory's place.
func removeDirectory(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errNoDirectory
	}
	return os.Remove(path)
}

// checkAccess has nothing to check: permission bits do not say who may write.
func checkAccess(fs.FileInfo, fs.FileMode) error { return nil }
