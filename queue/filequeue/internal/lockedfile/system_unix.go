//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package lockedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// openFlags are given to every open of a file in the directory. O_NOFOLLOW:
	// a planted link is refused. O_NONBLOCK: the open of a planted FIFO returns
	// at once instead of waiting for the other end.
	openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

	// asDirectory, behind a path, lets nothing be opened but a directory: the open of a
	// FIFO would wait for the other end.
	asDirectory = "/"

	// ContentOffset is where the content of a file begins.
	ContentOffset = 0

	// CloseBeforeRemove says that an open file cannot be removed.
	CloseBeforeRemove = false

	probeFlag      = os.O_RDONLY // a flock needs no right to write
	movesWhileOpen = true
	hasModes       = true
)

// LinkCount is how many names the file has.
func LinkCount(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// ChangeTime is when the file was last changed. A rename changes it too, and unlike the
// time stamp of its content, no program can set it, not cp -p either.
func ChangeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		changed := changeTime(st)
		return time.Unix(changed.Unix())
	}
	return time.Time{}
}

const errBadDescriptor = syscall.EBADF

// isPassing reports whether a file could not be opened or locked because another
// program has a lease on it, which that is asked to give up, or because a signal came.
func isPassing(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
}

// names lists the directory. listing is held.
func (d *Dir) names() ([]string, error) {
	if _, err := d.file.Seek(0, 0); err != nil {
		return nil, err
	}
	return d.file.Readdirnames(-1)
}

// RemoveDirectory removes an empty directory. Unlike os.Remove it never
// removes a file that has taken the directory's place.
func RemoveDirectory(path string) (err error) {
	const tries = 5
	for range tries {
		if err = syscall.Rmdir(path); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	return err
}

// isOwn reports whether a file belongs to the user of this process.
func isOwn(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(st.Uid) == os.Geteuid()
}

// chmodMade gives a directory that was just made its rights before it is opened: the umask
// may have taken rights from the owner that this needs. No link is followed.
func chmodMade(path string, mode fs.FileMode) error {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() || info.Mode().Perm() == mode {
		return err
	}
	return chmodDirectory(info, mode, func(mode fs.FileMode) error {
		bits := uint32(mode.Perm())
		if mode&fs.ModeSetgid != 0 {
			bits |= unix.S_ISGID
		}
		return chmodNoFollow(path, bits)
	})
}

// chmodDirectory gives a directory its rights, keeping the bit that it may have from
// above, which gives its files its group. Where that bit must not be set (a sandbox
// may forbid it), it goes, if the group of the files is the same without it.
func chmodDirectory(info fs.FileInfo, mode fs.FileMode, chmod func(fs.FileMode) error) error {
	setgid := info.Mode() & fs.ModeSetgid
	err := chmod(mode | setgid)
	st, ok := info.Sys().(*syscall.Stat_t)
	if setgid != 0 && errors.Is(err, fs.ErrPermission) && ok && int(st.Gid) == os.Getegid() {
		err = chmod(mode)
	}
	return err
}

// CheckAccess refuses a directory in which other users could remove files or plant
// links. shared is the mode of its files for the users that share it, 0 if none do.
func (d *Dir) CheckAccess(shared fs.FileMode) error {
	mode := d.info.Mode()
	if mode.Perm()&0o002&^shared != 0 {
		remedy := "take that right away"
		if mode&fs.ModeSticky != 0 {
			remedy = "take a directory below it"
		}
		return fmt.Errorf("all users may write to the directory (%v): %s, or share it with all users: WithFileMode(0666)", mode, remedy)
	}
	st, ok := d.info.Sys().(*syscall.Stat_t)
	if !ok || shared != 0 || st.Uid == 0 || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return fmt.Errorf("the directory belongs to another user (uid %d): use one of your own, or share it with WithFileMode", st.Uid)
}

// Share takes a shared flock on the directory, for as long as it is open, and reports
// whether it could. A process that joins or is in line has it: systemd-tmpfiles and its
// like keep away from a directory that has one, and no other process removes it.
func (d *Dir) Share() bool { return !errors.Is(d.tryFlock(unix.LOCK_SH), unix.EWOULDBLOCK) }

// Exclude takes an exclusive flock on the directory instead, and reports whether it
// could: if not, it drops the shared one. Of all that call it, the last one can.
func (d *Dir) Exclude() bool {
	err := d.tryExclusive()
	if isPassing(err) {
		// Two that try at the same time must not both fail because of the other one's
		// shared flock. On Linux to try has dropped it already.
		d.Leave()
		err = d.tryExclusive()
	}
	return err == nil
}

// Leave drops the flock on the directory.
func (d *Dir) Leave() { _ = unix.Flock(int(d.file.Fd()), unix.LOCK_UN) }

func (d *Dir) tryExclusive() error { return d.tryFlock(unix.LOCK_EX) }

func (d *Dir) tryFlock(how int) error { return unix.Flock(int(d.file.Fd()), how|unix.LOCK_NB) }

// fileLock is a flock on a file that stays open when it is dropped; gofrs/flock closes
// the file with the lock.
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
	if isPassing(err) {
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

// remove removes a file.
func remove(root *os.Root, name string) error { return root.Remove(name) }
