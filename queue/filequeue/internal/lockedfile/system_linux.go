package lockedfile

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func renameWithoutReplacing(at int, from, to string) error {
	return unix.Renameat2(at, from, at, to, unix.RENAME_NOREPLACE)
}

// chmodNoFollow changes the rights of a directory that need not be readable, and follows no
// link. fchmodat2 came with Linux 6.6, and a sandbox may not know it.
func chmodNoFollow(path string, bits uint32) error {
	err := unix.Fchmodat(unix.AT_FDCWD, path, bits, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && chmodThroughProc(path, bits) == nil {
		return nil
	}
	return err
}

func chmodThroughProc(path string, bits uint32) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), bits)
}

// IsFine reports whether a change time that was read just now shows that the file
// system tells two changes apart whenever the time was read in between. Linux does
// since 6.13: the second one is given a time ahead of the clock of the ticks, which
// all others have.
//
// A time of whole milliseconds shows nothing: a file system that counts in seconds cuts
// the fine clock to one, which is ahead of the ticks just after a full second.
func IsFine(changed time.Time) bool {
	var ticks unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ticks) != nil {
		return false
	}
	return changed.Nanosecond()%int(time.Millisecond) != 0 && changed.After(time.Unix(int64(ticks.Sec), int64(ticks.Nsec)))
}

// naps bounds the threads that nap.
var naps = make(chan struct{}, 4)

// Nap sleeps, and reports whether it did: it is for less than a timer of Go takes, which
// is a millisecond in a process that does nothing else, and keeps a thread.
func Nap(d time.Duration) bool {
	select {
	case naps <- struct{}{}:
	default:
		return false
	}
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // an error: a signal has ended it
	<-naps
	return true
}

// A place is a lock of an open file description (see fcntl(2)) on one byte of the
// directory: nothing is written and nothing is created for it, it ends with the process
// as a flock does, and has nothing to do with one. It is a shared one, since a directory
// cannot be opened to write: any number may have the same.

// TakePlace takes the place at. If it cannot, for any reason, it has no place.
func (d *Dir) TakePlace(at int64) {
	_ = d.fcntl(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: at, Len: 1})
}

// LeavePlace gives the place up.
func (d *Dir) LeavePlace(at int64) {
	_ = d.fcntl(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Start: at, Len: 1})
}

// FirstPlace is the lowest place, from the one on and before the other, that is held
// through another open of the directory; ok is false if there is none, or if it cannot
// be told.
func (d *Dir) FirstPlace(from, before int64) (at int64, ok bool) {
	for from < before {
		// The kernel tells of any, and nearly always of the first that was taken.
		l := unix.Flock_t{Type: unix.F_WRLCK, Start: from, Len: before - from}
		err := d.fcntl(unix.F_OFD_GETLK, &l)
		switch {
		case err != nil || l.Type == unix.F_UNLCK:
			return at, ok
		case l.Start >= from:
			before, at, ok = l.Start, l.Start, true
		case l.Len == 0: // another program's, to the end
			return at, ok
		default:
			// Two places of a process that has taken one beside its own are one lock, and
			// another program may lock as much as it likes: a lock that begins earlier is
			// no place from here on.
			from = l.Start + l.Len
		}
	}
	return at, ok
}

func (d *Dir) fcntl(command int, l *unix.Flock_t) error {
	return unix.FcntlFlock(d.file.Fd(), command, l)
}
