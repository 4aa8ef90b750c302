package lockedfile

import "golang.org/x/sys/unix"

// A place is a lock of an open file description (see fcntl(2)) on one byte of the
// directory: nothing is written and nothing is created for it, it ends with the process
// as a flock does, and has nothing to do with one. It is a shared one, since a directory
// cannot be opened to write: any number may have the same.

// TakePlace takes the place at. If it cannot, for whatever reason, it has no place.
func (d *Dir) TakePlace(at int64) {
	_ = d.fcntl(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: at, Len: 1})
}

// LeavePlace gives the place up.
func (d *Dir) LeavePlace(at int64) {
	_ = d.fcntl(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Start: at, Len: 1})
}

// FirstPlace is the lowest place from the one on and before the other that others have,
// that have opened the directory for themselves; ok is false if there is none, or if it
// cannot be told.
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
			// another program may lock as much as it likes: what begins earlier is no
			// place from here on.
			from = l.Start + l.Len
		}
	}
	return at, ok
}

func (d *Dir) fcntl(command int, l *unix.Flock_t) error {
	return unix.FcntlFlock(d.file.Fd(), command, l)
}
