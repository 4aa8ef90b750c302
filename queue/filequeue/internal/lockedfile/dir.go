package lockedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// Dir is an open directory: its methods look at, open and remove its files. They may be
// called concurrently, but for Close.
//
// With locks on the directory itself, the processes that use it show that to each other.
// A place is a lock on one byte of it; see system_linux.go.
type Dir struct {
	path string // where it is, or was when it was opened
	root *os.Root
	file *os.File // the directory itself
	info fs.FileInfo

	making bool // it is being made, and no other process creates anything in it

	listing sync.Mutex // guards the position of file
}

// Open opens the directory at the path. The error says that there is nothing
// (see [IsGone]) also when the directory was removed while it was opened. It is ErrBusy
// where another process is about to remove it, and keeps it from being opened.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path + asDirectory)
	if isPassing(err) {
		return nil, ErrBusy
	}
	if err != nil {
		return nil, quoted(openError(path, err))
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

// openError is the error of opening the directory at the path. It does not say that there
// is nothing if there is something else.
func openError(path string, err error) error {
	var p *fs.PathError
	if !errors.As(err, &p) {
		return err
	}
	why := p.Err
	if errors.Is(why, syscall.ENOTDIR) { // the path's own end, or something on the way to it
		if info, serr := os.Stat(path); serr == nil && !info.IsDir() {
			why = errors.New("not a directory")
		}
	}
	return &fs.PathError{Op: p.Op, Path: path, Err: why}
}

// Close closes the directory.
func (d *Dir) Close() {
	if d.file != nil {
		d.Leave() // a child between fork and exec has the file open too, and its flock with it
		d.file.Close()
	}
	d.root.Close()
}

// Path is the path of a file in the directory.
func (d *Dir) Path(name string) string { return d.path + string(filepath.Separator) + name }

// Info describes the directory as it was when it was opened.
func (d *Dir) Info() fs.FileInfo { return d.info }

// Stat describes the directory as it is now.
func (d *Dir) Stat() (fs.FileInfo, error) { return d.file.Stat() }

// IsCurrent reports whether the directory is the one at its path, or there is none and it
// is hidden. Only what is certain counts as a no.
func (d *Dir) IsCurrent() bool {
	info, err := os.Stat(d.path)
	if IsGone(err) {
		if d.IsHidden() {
			return true
		}
		info, err = os.Stat(d.path) // it may have been moved back in between
	}
	if err != nil {
		return !IsGone(err)
	}
	return os.SameFile(info, d.info)
}

// IsHidden reports whether the directory is at its hidden path: a process is about to remove
// it, which succeeds if nothing is in it, and will move it back otherwise.
func (d *Dir) IsHidden() bool { return d.isAt(hiddenPath(d.path)) }

// Restore moves a hidden directory back to its path, if the process that has hidden it is
// gone. The error is that of the move, which another user may not be allowed. It may be
// called by several at the same time.
func (d *Dir) Restore() error {
	// With the flock no other process does anything to it, if it is still there.
	if !d.IsHidden() || !d.Share() || !d.IsHidden() {
		return nil
	}
	err := move(hiddenPath(d.path), d.path)
	if d.isAt(d.path) {
		return nil // another one may have been faster
	}
	return err
}

// hiddenPath is the path at which the directory of the other path is made and removed. It
// is as long as any temporary name, whatever the name of the directory.
func hiddenPath(path string) string {
	id := uuid.NewSHA1(uuid.Nil, []byte(filepath.Base(path)))
	return filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s%x", temporaryPrefix, id[:]))
}

// move renames a directory. Where that cannot be told not to replace anything, it replaces
// nothing but an empty directory.
func move(from, to string) error {
	err := moveWithoutReplacing(nil, from, to)
	if errors.Is(err, errors.ErrUnsupported) {
		if err = os.Rename(from, to); err != nil {
			err = fmt.Errorf("renaming to %q: %w", to, errors.Unwrap(err))
		}
	}
	return err
}

// lost explains that a file that was just made is not there: if the directory is, another
// program has removed it.
func (d *Dir) lost(err error) error {
	if IsGone(err) && d.IsCurrent() {
		return ErrBusy
	}
	return err
}

// isAt reports whether the directory is at the path, and no link to it.
func (d *Dir) isAt(path string) bool {
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(there, d.info)
}

// Lstat describes the file with the name.
func (d *Dir) Lstat(name string) (fs.FileInfo, error) { return d.root.Lstat(name) }

// LstatPath is Lstat by the path of the directory: there is nothing if the directory
// was moved away, unless it is hidden.
func (d *Dir) LstatPath(name string) (fs.FileInfo, error) {
	info, err := os.Lstat(d.Path(name))
	switch {
	case errors.Is(err, fs.ErrPermission): // of the way to it, for a process that has changed its user
		return d.root.Lstat(name)
	case !IsGone(err):
		return info, err
	case d.IsCurrent():
		return d.root.Lstat(name)
	}
	return info, err
}

// Exists reports whether there is a regular file with the name. In doubt it is true.
func (d *Dir) Exists(name string) bool {
	info, err := d.root.Lstat(name)
	if err != nil {
		return !IsGone(err)
	}
	return info.Mode().IsRegular()
}

// Chtimes sets the time stamps of a file; those that are zero stay as they are.
func (d *Dir) Chtimes(name string, accessed, modified time.Time) error {
	return d.root.Chtimes(name, accessed, modified)
}

// Remove removes a file.
func (d *Dir) Remove(name string) error { return remove(d.root, name) }

// RemoveFiles removes the files; one that is gone is no error, and one that is in use stays.
func (d *Dir) RemoveFiles(names []string) error {
	for _, name := range names {
		if err := d.root.Remove(name); err != nil && !IsGone(err) {
			return err
		}
	}
	return nil
}

// Contents is the content of a directory.
type Contents struct {
	Names    []string // regular files that were asked for, in order
	Leavings []string // of processes that were killed while they made or removed something
	Others   bool     // there is something else
}

// List lists the directory. The function says which names are asked for; last is the
// file that goes with the directory.
func (d *Dir) List(last string, accept func(string) bool) (c Contents, err error) {
	d.listing.Lock()
	defer d.listing.Unlock()
	names, err := d.names()
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
				c.Others = true
			}
		case isTemporary(name):
			c.Leavings = append(c.Leavings, name)
		case name != last:
			c.Others = true
		}
	}
	slices.Sort(c.Names)
	return c, nil
}
