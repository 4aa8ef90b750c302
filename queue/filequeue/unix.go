//go:build unix

package filequeue

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

const (
	// openFlags are given to every open of a file in the directory. O_NOFOLLOW:
	// a planted link is refused. O_NONBLOCK: the open of a planted FIFO returns
	// at once instead of waiting for the other end.
	openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

	// contentOffset is where the content of seq and of ticket files begins.
	contentOffset = 0

	// unfinished is the mode of a shared ticket that its owner has not given
	// its mode yet. No other ticket has it.
	unfinished fs.FileMode = 0

	// closeBeforeRemove says that an open file cannot be removed.
	closeBeforeRemove = false
)

// linkCount is how many names the file has.
func linkCount(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// removeDirectory removes an empty directory. Unlike os.Remove it never
// removes a file that has taken the directory's place.
func removeDirectory(path string) error { return syscall.Rmdir(path) }

// checkAccess refuses a directory in which somebody else could remove tickets
// or plant links. shared is the mode of WithFileMode, 0 without it.
func checkAccess(info fs.FileInfo, shared fs.FileMode) error {
	if info.Mode().Perm()&0o002&^shared != 0 {
		return fmt.Errorf("everybody may write to the directory (%v): take that right away, or share it with WithFileMode", info.Mode())
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || shared != 0 || st.Uid == 0 || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return fmt.Errorf("the directory belongs to another user (uid %d): use one of your own, or share it with WithFileMode", st.Uid)
}
