package lockedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// A directory is made, and removed, under a hidden name beside its path: always the same
// one. So it appears at its path with its first file in it, and vanishes with its last; and
// what a process has left that was killed in between is where the next one comes by that
// makes or removes the directory, which takes it over or removes it.
//
// Each process has an exclusive flock on what is at the hidden name before it does
// anything to it, and has seen after that that it is still there. Nothing is moved to the
// name while there is anything. So what a process has there is not touched by another one
// while it lives; one that makes the directory waits until it is gone from there.
//
// That nothing but the last file is in a directory that is moved to the hidden name is
// only nearly certain: another program may have replaced that file meanwhile, and a process
// have joined through the new one. Then the directory cannot be removed, and is moved back:
// by the process that has moved it, or, if that was killed, by the next that would make
// one. There is no other one at the path before that.
//
// Where the hidden name cannot be used, because another program has something there, or
// another user what only that user may remove, it goes without: a directory is made under
// a name of its own then, and removed at its path. A process that is killed in that moment
// leaves it.

// hiddenPath is the path at which the directory of the other path is made and removed. It
// is as long as any temporary name, whatever the name of the directory.
func hiddenPath(path string) string {
	id := uuid.NewSHA1(uuid.Nil, []byte(filepath.Base(path)))
	return filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s%x", temporaryPrefix, id[:]))
}

// errOccupied: what is at the hidden path is not to be used by this process.
var errOccupied = errors.New("there is something at the hidden path")

// Make makes a directory with the given rights, whatever the umask, and what is
// missing above it with the same. prepare, unless it is nil, puts its first file into
// it, which it shall have when it appears at its path; undo closes that again, where the
// directory does not come to be. The error is fs.ErrExist if there is something at the
// path, and ErrBusy while another process makes or removes the same directory.
func Make(path string, mode fs.FileMode, first string, prepare func(*Dir) error, undo func()) (*Dir, error) {
	if !movesWithoutReplacing {
		return makeAt(path, mode, prepare)
	}
	d, err := makeHidden(path, mode, first, prepare)
	if errors.Is(err, errOccupied) {
		var name string
		if name, err = newTemporaryName(); err == nil {
			d, err = makeAt(filepath.Join(filepath.Dir(path), "."+name), mode, prepare)
		}
	}
	if err != nil {
		return nil, err
	}
	hidden := d.path
	if err = moveWithoutReplacing(nil, hidden, path); err == nil {
		d.path = path
		return d, nil
	}
	if undo != nil {
		undo() // a file that is open may be in the way of what follows (FUSE)
	}
	_ = d.discard(first)
	if errors.Is(err, errors.ErrUnsupported) {
		return makeAt(path, mode, prepare)
	}
	return nil, err
}

// discard removes a directory that was made at a hidden path, and closes it.
func (d *Dir) discard(first string) error {
	defer d.Close()
	_ = d.root.Remove(first)
	return removeDirectory(d.path)
}

// makeHidden makes a directory at the hidden path, or takes over what is left there.
func makeHidden(path string, mode fs.FileMode, first string, prepare func(*Dir) error) (*Dir, error) {
	hidden := hiddenPath(path)
	err := mkdir(hidden, mode)
	left := errors.Is(err, fs.ErrExist)
	if err != nil && !left {
		return nil, err
	}
	d, err := openHidden(hidden, mode, first, left)
	switch {
	case errors.Is(err, ErrBusy):
		return nil, err
	case errors.Is(err, fs.ErrExist):
		if move(hidden, path) == nil {
			return nil, ErrBusy // it is back, and can be used
		}
		return nil, errOccupied
	case errors.Is(err, fs.ErrPermission) && left:
		return nil, errOccupied
	case err != nil && left:
		return nil, err
	case err != nil:
		_ = removeDirectory(hidden)
		return nil, err
	case left && !d.isOwn():
		if err := d.discard(first); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, errOccupied
		}
		return nil, ErrBusy // it can be made now
	}
	if err := d.finish(mode, prepare); err != nil {
		_ = d.discard(first)
		return nil, err
	}
	return d, nil
}

// openHidden opens and locks what is at the hidden path, and empties it if it is left from
// a process that is gone. The error is ErrBusy while another process is at it, and if it is
// not there any more, and fs.ErrExist if there is more in it.
func openHidden(hidden string, mode fs.FileMode, first string, left bool) (*Dir, error) {
	if left {
		info, err := os.Lstat(hidden)
		switch {
		case IsGone(err):
			return nil, ErrBusy
		case err != nil:
			return nil, err
		case !info.IsDir():
			return nil, errOccupied
		}
	}
	d, err := openMade(hidden, mode)
	switch {
	case IsGone(err):
		return nil, ErrBusy
	case errors.Is(err, fs.ErrPermission) && removeDirectory(hidden) == nil:
		return nil, ErrBusy // another user's, that has not come to give it its rights
	case err != nil:
		return nil, err
	}
	if err = tryExclusive(d.file); isPassing(err) || !d.isAt(hidden) {
		err = ErrBusy
	} else if !left {
		return d, nil // where there is no flock, that of its first file will tell
	}
	if err == nil {
		err = d.empty(first)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// empty removes the last file of the directory, if it has one, and what processes have
// left that were killed. The error is fs.ErrExist if there is more.
func (d *Dir) empty(last string) error {
	c, err := d.List(last, func(string) bool { return false })
	if err != nil {
		return err
	}
	if c.others {
		return fs.ErrExist
	}
	if last != "" {
		c.leavings = append(c.leavings, last)
	}
	return d.removeFiles(c.leavings)
}

// RemoveSelf removes the directory with its last file, if a listing that was made just now
// has found nothing else in it but what processes have left that were killed; the last file
// is removed first, and removed is called then, to close it. Otherwise the error is
// fs.ErrExist, and the last file stays, if it can be; with wait it is ErrBusy, and nothing
// has happened, while another process makes the same directory. The caller has Exclude.
func (d *Dir) RemoveSelf(last string, c Contents, wait bool, removed func()) error {
	if c.others || !d.isAt(d.path) { // a link leads to it, or it was moved
		return fs.ErrExist
	}
	at, err := d.hide(last)
	if errors.Is(err, ErrBusy) && wait || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err = d.removeFiles(append(c.leavings, last)); err == nil {
		removed()
		err = removeDirectory(at)
	}
	if err != nil && at != d.path {
		_ = move(at, d.path)
	}
	return err
}

// hide moves the directory to its hidden path, and returns where it is now.
func (d *Dir) hide(last string) (at string, err error) {
	hidden := hiddenPath(d.path)
	err = move(d.path, hidden)
	if errors.Is(err, fs.ErrExist) {
		var left *Dir
		if left, err = openHidden(hidden, d.info.Mode().Perm(), last, true); err == nil {
			if err = left.discard(last); err == nil {
				err = move(d.path, hidden)
			}
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return d.path, ErrBusy
	case err != nil:
		return d.path, err
	case !d.isAt(hidden): // it was replaced at this moment by what has been moved now
		_ = move(hidden, d.path)
		return d.path, fs.ErrNotExist
	}
	return hidden, nil
}

// move renames a directory. Where that cannot be told not to replace anything, it replaces
// nothing but an empty directory.
func move(from, to string) error {
	err := moveWithoutReplacing(nil, from, to)
	if errors.Is(err, errors.ErrUnsupported) {
		err = os.Rename(from, to)
	}
	return err
}
