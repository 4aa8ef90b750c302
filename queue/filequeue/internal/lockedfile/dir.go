package lockedfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Dir is an open directory. Its methods may be called concurrently, but for Close.
// A shared flock is on it for as long as it is open: systemd-tmpfiles and its like
// keep away from a directory that has one.
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
	if d.file, err = root.Open("."); err == nil {
		d.info, err = d.file.Stat()
	}
	if err != nil {
		d.Close()
		return nil, quoted(err)
	}
	shareFlock(d.file) // an error: one of those is in it just now
	return d, nil
}

// Close closes the directory.
func (d *Dir) Close() {
	if d.file != nil {
		d.file.Close()
	}
	d.root.Close()
}

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

// Names lists the regular files whose names the function accepts, in order.
func (d *Dir) Names(accept func(string) bool) ([]string, error) {
	d.listing.Lock()
	defer d.listing.Unlock()
	if _, err := d.file.Seek(0, 0); err != nil {
		return nil, err
	}
	entries, err := d.file.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if accept(e.Name()) && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, strings.Compare)
	return names, nil
}

// RemoveSelf removes the directory with its last file, if nothing else is in it but what
// processes have left that were killed while they made a file. The caller must exclude
// that another process makes one now and needs it. There is no moment in which the
// directory is at its path without the last file: it is moved away first, and moved is
// called then, to close the file. If it cannot be removed, everything is as before.
func (d *Dir) RemoveSelf(last string, moved func()) error {
	left := 0
	_, err := d.Names(func(name string) bool {
		if name != last && !isTemporary(name) {
			left++
		}
		return false
	})
	if err != nil {
		return err
	}
	there, err := os.Lstat(d.path)
	if err != nil {
		return err
	}
	if left > 0 || !os.SameFile(there, d.info) { // a link leads to it, or it was moved
		return fs.ErrExist
	}
	name, err := newTemporaryName()
	if err != nil {
		return err
	}
	away := filepath.Join(filepath.Dir(d.path), "."+name)
	if err := os.Rename(d.path, away); err != nil {
		return err
	}
	moved()
	d.removeFiles(last)
	if err = removeDirectory(away); err != nil {
		_ = moveWithoutReplacing(nil, away, d.path) // there is something new in it
	}
	return err
}

// RemoveEmpty removes the directory at the path, if it is empty, after Close.
func (d *Dir) RemoveEmpty() error { return removeDirectory(d.path) }

// Make makes a directory with the given rights, whatever the umask, and what is
// missing above it with the same. prepare, unless it is nil, puts its first file into
// it, which it shall have when it appears at its path. The error is fs.ErrExist if there
// is something at the path.
func Make(path string, mode fs.FileMode, first string, prepare func(*Dir) error) (*Dir, error) {
	name, err := newTemporaryName()
	if err != nil {
		return nil, err
	}
	if !canMoveWithoutReplacing.Load() {
		return makeAt(path, mode, prepare)
	}
	made := filepath.Join(filepath.Dir(path), "."+name)
	d, err := makeAt(made, mode, prepare)
	if err != nil {
		return nil, err
	}
	err = moveWithoutReplacing(nil, made, path)
	if err == nil {
		d.path = path
		return d, nil
	}
	d.removeFiles(first)
	d.Close()
	_ = removeDirectory(made)
	if errors.Is(err, errors.ErrUnsupported) {
		return makeAt(path, mode, prepare)
	}
	return nil, err
}

// makeAt makes a directory at the path, and what is missing above it.
func makeAt(path string, mode fs.FileMode, prepare func(*Dir) error) (*Dir, error) {
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrNotExist) {
		if above := filepath.Dir(path); above != path {
			parent, perr := Make(above, mode, "", nil)
			if perr != nil && !errors.Is(perr, fs.ErrExist) {
				return nil, perr
			}
			if perr == nil {
				parent.Close()
			}
		}
		err = os.Mkdir(path, mode)
	}
	if err != nil {
		return nil, quoted(err)
	}
	d, err := Open(path)
	if err == nil {
		if err = d.finish(mode, prepare); err != nil {
			d.Close()
		}
	}
	if err != nil {
		_ = removeDirectory(path)
		return nil, err
	}
	return d, nil
}

// finish gives a directory that was just made its mode and its first files.
func (d *Dir) finish(mode fs.FileMode, prepare func(*Dir) error) error {
	there, err := os.Lstat(d.path)
	if err != nil {
		return err
	}
	if !os.SameFile(there, d.info) { // a link, in the place of the directory
		return &NotOursError{Name: "the directory", What: "not what was just made"}
	}
	if d.info.Mode().Perm() != mode {
		if err := chmodDirectory(d.file, d.info, mode); err != nil {
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

// removeFiles removes the files, and those that were left under another name.
func (d *Dir) removeFiles(names ...string) {
	left, _ := d.Names(isTemporary)
	for _, name := range append(left, names...) {
		_ = d.root.Remove(name)
	}
}

// Chtimes sets the time stamps of a file; those that are zero stay as they are.
func (d *Dir) Chtimes(name string, accessed, modified time.Time) error {
	return d.root.Chtimes(name, accessed, modified)
}
