package lockedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Home is where a directory is made, and removed: under a hidden name beside its path,
// always the same one. So the directory appears at its path with its first file in it, and
// vanishes with its last. A process that is killed in between leaves its directory under
// that name, where the next process that makes or removes the directory takes it over or
// removes it.
//
// Before a process does anything to the directory at the hidden name, it has an exclusive
// flock on it, and has then seen that it is still there. Nothing is moved to the name
// while it is in use. So no process touches the directory of another one that lives; one
// that makes the directory waits until the name is free.
//
// A directory that is moved to the hidden name has, nearly always, nothing but the last
// file in it. But another program may have replaced that file meanwhile, and a process may
// have joined through the new one. Then the directory cannot be removed, and is moved back:
// by the process that has moved it, or, if that was killed, by one that has it open and has
// a shared flock on it (see Restore), or by the next that would make one. On Linux and
// macOS there is no other one at the path before that, unless the hidden name could not be
// used; elsewhere there may be, and the hidden one is gone then for all that use it (see
// IsCurrent).
//
// Where the hidden name cannot be used, because another program has something there, or
// another user what only that user may remove, it goes without: a directory is made under
// a name of its own then, and removed at its path. A process that is killed in that moment
// leaves it. So it does where a directory cannot have a flock, if one is there already. A
// directory with more in it that cannot be moved back is an error.
type Home struct {
	Path string      // of the directory
	Mode fs.FileMode // of it and of missing directories above it, whatever the umask
	File string      // that it has when it appears, and that goes with it; "": none
}

// errOccupied: this process must leave the hidden path alone.
var errOccupied = errors.New("there is something at the hidden path")

// Make makes the directory, and missing ones above it. prepare, unless it is nil, puts the
// file into it; undo closes that again, where the directory does not come to be. The error
// is fs.ErrExist if there is something at the path, and ErrBusy while another process makes
// or removes the same directory.
func (h Home) Make(prepare func(*Dir) error, undo func()) (*Dir, error) {
	if !movesWithoutReplacing {
		return h.makeAt(h.Path, prepare)
	}
	d, err := h.makeHidden(prepare)
	if errors.Is(err, errOccupied) {
		var name string
		if name, err = newTemporaryName(); err == nil {
			d, err = h.makeAt(filepath.Join(filepath.Dir(h.Path), "."+name), prepare)
		}
	}
	if err != nil {
		return nil, err
	}
	if err = moveWithoutReplacing(nil, d.path, h.Path); err == nil {
		d.path, d.making = h.Path, false
		return d, nil
	}
	if undo != nil {
		undo() // an open file may be in the way of the removal (FUSE)
	}
	_ = h.discard(d)
	if errors.Is(err, errors.ErrUnsupported) {
		return h.makeAt(h.Path, prepare)
	}
	return nil, err
}

// makeHidden makes the directory at the hidden path, or takes over one left there.
func (h Home) makeHidden(prepare func(*Dir) error) (*Dir, error) {
	hidden := hiddenPath(h.Path)
	err := h.mkdir(hidden)
	left := errors.Is(err, fs.ErrExist)
	if err != nil && !left {
		return nil, err
	}
	d, err := h.openHidden(hidden, left)
	switch {
	case errors.Is(err, ErrBusy):
		return nil, err
	case errors.Is(err, fs.ErrExist):
		err = move(hidden, h.Path)
		switch {
		case err == nil, errors.Is(err, fs.ErrExist), IsGone(err):
			return nil, ErrBusy // it is back, or there is another one, and can be used
		case h.Mode&0o077 == 0 && !isOwnAt(hidden):
			return nil, errOccupied // as in openHidden
		}
		// A living process may have a file in it, and must be met there.
		return nil, fmt.Errorf("moving the directory back that was left at %q: %w", hidden, err)
	case errors.Is(err, fs.ErrPermission) && left:
		return nil, errOccupied
	case err != nil && left:
		return nil, err
	case err != nil:
		_ = RemoveDirectory(hidden)
		return nil, err
	case left && !isOwn(d.info):
		if err := h.discard(d); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, errOccupied
		}
		return nil, ErrBusy // it can be made now
	}
	d.making = true
	if err := h.finish(d, prepare); err != nil {
		_ = h.discard(d)
		return nil, err
	}
	return d, nil
}

// openHidden opens and locks the directory at the hidden path, and empties it if it is left
// from a process that is gone. The error is ErrBusy while another process is at it, and if
// it is not there any more, and fs.ErrExist if there is more in it.
func (h Home) openHidden(hidden string, left bool) (*Dir, error) {
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
	d, err := h.openMade(hidden)
	switch {
	case IsGone(err):
		return nil, ErrBusy
	case errors.Is(err, fs.ErrPermission) && (left || !isOwnAt(hidden)) && RemoveDirectory(hidden) == nil:
		return nil, ErrBusy // another user's, that has not come to give it its rights
	case err != nil:
		return nil, err
	}
	switch err = d.tryExclusive(); {
	case left && isPassing(err) && h.Mode&0o077 == 0 && !isOwn(d.info):
		err = errOccupied // no process of another user makes this one's directory
	case isPassing(err) || !d.isAt(hidden):
		err = ErrBusy
	case !left:
		return d, nil // where there is no flock, that of its file will tell
	case err != nil:
		err = errOccupied // where there is no flock, nothing tells that its process is gone
	default:
		err = h.empty(d)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func isOwnAt(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && isOwn(info)
}

// empty removes the file of the directory, if it has it, and the leavings of killed
// processes. The error is fs.ErrExist if there is more.
func (h Home) empty(d *Dir) error {
	c, err := d.List(h.File, func(string) bool { return false })
	if err != nil {
		return err
	}
	if c.Others {
		return fs.ErrExist
	}
	if h.File != "" {
		c.Leavings = append(c.Leavings, h.File)
	}
	return d.RemoveFiles(c.Leavings)
}

// discard removes a directory that is at a hidden path, and closes it.
func (h Home) discard(d *Dir) error {
	defer d.Close()
	_ = d.root.Remove(h.File)
	return RemoveDirectory(d.path)
}

// makeAt makes the directory at the path, and missing ones above it.
func (h Home) makeAt(path string, prepare func(*Dir) error) (*Dir, error) {
	if err := h.mkdir(path); err != nil {
		return nil, err
	}
	d, err := h.openMade(path)
	if err == nil {
		if !d.isAt(path) { // a link, in the place of the directory
			err = &NotOursError{Name: "the directory", What: "not what was just made"}
		} else {
			err = h.finish(d, prepare)
		}
		if err != nil {
			d.Close()
		}
	}
	if err != nil {
		_ = RemoveDirectory(path)
		return nil, err
	}
	return d, nil
}

// mkdir makes a directory at the path, and missing ones above it.
func (h Home) mkdir(path string) error {
	err := os.Mkdir(path, h.Mode)
	if errors.Is(err, fs.ErrNotExist) {
		if above := filepath.Dir(path); above != path {
			parent, perr := Home{Path: above, Mode: h.Mode}.Make(nil, nil)
			if perr != nil && !errors.Is(perr, fs.ErrExist) {
				return perr
			}
			if perr == nil {
				parent.Close()
			}
		}
		err = os.Mkdir(path, h.Mode)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("mkdir in %q: %w", filepath.Dir(path), fs.ErrPermission) // not the hidden name
	}
	return quoted(err)
}

// openMade opens a directory that was just made. The umask may have taken rights from
// its owner that this needs.
func (h Home) openMade(path string) (*Dir, error) {
	d, err := Open(path)
	if errors.Is(err, fs.ErrPermission) && chmodMade(path, h.Mode) == nil {
		d, err = Open(path)
	}
	return d, err
}

// finish gives a directory that was just made its mode and its file.
func (h Home) finish(d *Dir, prepare func(*Dir) error) error {
	if d.info.Mode().Perm() != h.Mode {
		var err error
		if err = chmodDirectory(d.info, h.Mode, d.file.Chmod); err != nil {
			return err
		}
		if d.info, err = d.file.Stat(); err != nil {
			return err
		}
	}
	if prepare == nil {
		return nil
	}
	return prepare(d)
}

// Remove removes the directory with its file. A listing that was made just now has found
// nothing else in it but leavings, which the caller has removed. The file is removed
// first, and removed is called then, to close it. If the directory is in use all the same,
// or no directory any more, the error is fs.ErrExist, and the file stays, if it can be;
// with wait it is ErrBusy, and nothing has happened, while another process makes the same
// directory. Nor has anything where the directory could not be removed without the file
// either. The caller has Exclude.
func (h Home) Remove(d *Dir, wait bool, removed func()) error {
	if !d.isAt(h.Path) { // a link leads to it, or it was moved
		return fs.ErrExist
	}
	at, err := h.hide(d)
	if errors.Is(err, ErrBusy) && wait || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if at == h.Path {
		// That there is a file in it is the last thing that is found.
		if err := RemoveDirectory(at); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err = d.RemoveFiles([]string{h.File}); err == nil {
		removed()
		err = RemoveDirectory(at)
	}
	if err != nil && at != h.Path {
		_ = move(at, h.Path)
	}
	return err
}

// hide moves the directory to its hidden path, and returns where it is now.
func (h Home) hide(d *Dir) (at string, err error) {
	hidden := hiddenPath(h.Path)
	err = move(h.Path, hidden)
	if errors.Is(err, fs.ErrExist) {
		var left *Dir
		if left, err = h.openHidden(hidden, true); err == nil {
			if err = h.discard(left); err == nil {
				err = move(h.Path, hidden)
			}
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return h.Path, ErrBusy
	case err != nil:
		return h.Path, err
	case !d.isAt(hidden): // another one replaced it at this moment, and has been moved
		_ = move(hidden, h.Path)
		return h.Path, fs.ErrNotExist
	}
	return hidden, nil
}
