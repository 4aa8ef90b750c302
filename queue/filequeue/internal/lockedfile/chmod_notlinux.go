//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package lockedfile

import "golang.org/x/sys/unix"

// chmodNoFollow changes the rights of a directory that need not be readable, and follows no
// link.
func chmodNoFollow(path string, bits uint32) error {
	return unix.Fchmodat(unix.AT_FDCWD, path, bits, unix.AT_SYMLINK_NOFOLLOW)
}
