package lockedfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Dir is an open directory. Its methods may be called concurrently, but for Close.
type Dir struct {
	path string
	root *os.Root
	info fs.FileInfo

	listing sync.Mutex // guards the position of file
	file    *os.File   // of root itself
}

// Open opens the directory at the path. The error says that there is nothing
// (see [IsGone]) also when the directory was removed while it was opened.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, quoted(err)
	}
	d := &Dir{path: path, root: root}
	if d.file, err = root.OpenFile(".", os.O_RDONLY|openFlags, 0); err == nil {
		d.info, err = d.file.Stat()
	}
	if err != nil {
		d.Close()
		return nil, quoted(err)
	}
	return d, nil
}

// Close closes the directory.
func (d *Dir) Close() {
	if d.file != nil {
		d.file.Close()
	}
	d.root.Close()
}

// Share takes a shared flock on the directory, for as long as it is open, and reports
// whether it could. A process has it that joins or is in line: systemd-tmpfiles and its
// like keep away from a directory that has one, and no other process removes it.
func (d *Dir) Share() bool { return shareFlock(d.file) }

// Exclude takes an exclusive flock on the directory instead, and reports whether it
// could: if not, it drops the shared one. Of all that call it, the last one can.
func (d *Dir) Exclude() bool { return excludeFlock(d.file) == nil }

// Leave drops the flock on the directory.
func (d *Dir) Leave() { dropDirectoryFlock(d.file) }

// Path is the path of a file in the directory.
func (d *Dir) Path(name string) string { return d.path + string(filepath.Separator) + name }

// Info describes the directory as it was when it was opened.
func (d *Dir) Info() fs.FileInfo { return d.info }

// IsCurrent reports whether the directory is the one at its path. Only what is
// certain counts as a no.
func (d *Dir) IsCurrent() bool {
	info, err := os.Stat(d.path)
	if err != nil {
		return !IsGone(err)
	}
	return os.SameFile(info, d.info)
}

// Lstat describes the file with the name.
func (d *Dir) Lstat(name string) (fs.FileInfo, error) { return d.root.Lstat(name) }

// LstatPath is Lstat by the path of the directory: there is nothing if the directory
// was moved away.
func (d *Dir) LstatPath(name string) (fs.FileInfo, error) {
	info, err := os.Lstat(d.Path(name))
	if errors.Is(err, fs.ErrPermission) { // of the way to it, for a process that has changed its user
		return d.root.Lstat(name)
	}
	return info, err
}

// Exists reports whether there is a regular file with the name. What cannot be found
// out counts as there.
func (d *Dir) Exists(name string) bool {
	info, err := d.root.Lstat(name)
	if err != nil {
		return !IsGone(err)
	}
	return info.Mode().IsRegular()
}

// Stat describes the directory as it is now.
func (d *Dir) Stat() (fs.FileInfo, error) { return d.file.Stat() }

// Remove removes a file.
func (d *Dir) Remove(name string) error { return d.root.Remove(name) }

// Contents is what a directory has.
type Contents struct {
	Names    []string // regular files that were asked for, in order
	leavings []string // of processes that were killed while they made or removed something
	others   bool     // there is something else
}

// List lists the directory. The function says which names are asked for; last is the
// file that goes with the directory.
func (d *Dir) List(last string, accept func(string) bool) (c Contents, err error) {
	d.listing.Lock()
	defer d.listing.Unlock()
	if _, err := d.file.Seek(0, 0); err != nil {
		return c, err
	}
	names, err := d.file.Readdirnames(-1)
	if err != nil {
		return c, err
	}
	for _, name := range names {
		switch {
		case accept(name):
			info, err := d.root.Lstat(name)
			switch {
			case IsGone(err):
			case err != nil:
				return c, err // it may be there: a listing without it would say that it is not
			case info.Mode().IsRegular():
				c.Names = append(c.Names, name)
			default:
				c.others = true
			}
		case isTemporary(name):
			c.leavings = append(c.leavings, name)
		case name != last:
			c.others = true
		}
	}
	slices.Sort(c.Names)
	return c, nil
}

// Names lists the regular files whose names the function accepts, in order.
func (d *Dir) Names(accept func(string) bool) ([]string, error) {
	c, err := d.List("", accept)
	return c.Names, err
}

// isAt reports whether the directory is at the path, and no link to it.
func (d *Dir) isAt(path string) bool {
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(there, d.info)
}

// RemoveLeavings removes what a listing has found of processes that were killed.
func (d *Dir) RemoveLeavings(c Contents) error { return d.removeFiles(c.leavings) }

// removeFiles removes the files; one that is gone is no error.
func (d *Dir) removeFiles(names []string) error {
	for _, name := range names {
		if err := d.root.Remove(name); err != nil && !IsGone(err) {
			return err
		}
	}
	return nil
}

// RemoveEmpty removes the directory at the path, if it is empty, after Close.
func (d *Dir) RemoveEmpty() error { return removeDirectory(d.path) }

// mkdir makes a directory, and what is missing above it.
func mkdir(path string, mode fs.FileMode) error {
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrNotExist) {
		if above := filepath.Dir(path); above != path {
			parent, perr := Make(above, mode, "", nil, nil)
			if perr != nil && !errors.Is(perr, fs.ErrExist) {
				return perr
			}
			if perr == nil {
				parent.Close()
			}
		}
		err = os.Mkdir(path, mode)
	}
	if err != nil {
		return quoted(err)
	}
	return nil
}

// makeAt makes a directory at the path, and what is missing above it.
func makeAt(path string, mode fs.FileMode, prepare func(*Dir) error) (*Dir, error) {
	if err := mkdir(path, mode); err != nil {
		return nil, err
	}
	d, err := openMade(path, mode)
	if err == nil {
		if !d.isAt(path) { // a link, in the place of the directory
			err = &NotOursError{Name: "the directory", What: "not what was just made"}
		} else {
			err = d.finish(mode, prepare)
		}
		if err != nil {
			d.Close()
		}
	}
	if err != nil {
		_ = removeDirectory(path)
		return nil, err
	}
	return d, nil
}

// openMade opens a directory that was just made. The umask may have taken from its owner
// what that needs.
func openMade(path string, mode fs.FileMode) (*Dir, error) {
	d, err := Open(path)
	if errors.Is(err, fs.ErrPermission) && chmodMade(path, mode) == nil {
		d, err = Open(path)
	}
	return d, err
}

// finish gives a directory that was just made its mode and its first files.
func (d *Dir) finish(mode fs.FileMode, prepare func(*Dir) error) error {
	if d.info.Mode().Perm() != mode {
		var err error
		if err = chmodDirectory(d.info, mode, d.file.Chmod); err != nil {
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

// Chtimes sets the time stamps of a file; those that are zero stay as they are.
func (d *Dir) Chtimes(name string, accessed, modified time.Time) error {
	return d.root.Chtimes(name, accessed, modified)
}
