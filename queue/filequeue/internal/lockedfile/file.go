package lockedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// File is an open file that can be locked again and again. It is for one goroutine
// at a time.
type File struct {
	*os.File
	name string
	info fs.FileInfo
	lock fileLock
}

// OpenToWrite opens an existing file for reading and writing, unlocked.
func (d *Dir) OpenToWrite(name string) (*File, error) { return d.open(name, os.O_RDWR, false) }

// OpenToProbe opens an existing file to find out whether it is locked. The right to
// read it is enough, and the lock that is tried is a shared one: a process that is stopped
// while it has it does not hide from others that the owner is gone.
func (d *Dir) OpenToProbe(name string) (*File, error) { return d.open(name, probeFlag, true) }

func (d *Dir) open(name string, flag int, shared bool) (*File, error) {
	f, err := d.root.OpenFile(name, flag|openFlags, 0)
	if err != nil {
		return nil, d.refusal(name, err)
	}
	info, err := f.Stat()
	if err == nil {
		err = checkRegular(name, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{File: f, name: name, info: info, lock: newFileLock(d, f, name, shared)}, nil
}

// refusal explains why a file could not be opened.
func (d *Dir) refusal(name string, err error) error {
	if isPassing(err) {
		return ErrBusy
	}
	if info, lerr := d.root.Lstat(name); lerr == nil {
		if cerr := checkRegular(name, info); cerr != nil {
			return cerr
		}
	}
	return err
}

// TryLock locks the file unless it is locked already, and reports whether it did.
func (f *File) TryLock() (bool, error) {
	locked, err := f.lock.try()
	if err != nil {
		return false, fmt.Errorf("locking %s: %w", f.name, err)
	}
	return locked, nil
}

// Unlock unlocks the file.
func (f *File) Unlock() { f.lock.drop() }

// Close unlocks and closes the file.
func (f *File) Close() {
	f.lock.drop()
	f.File.Close()
}

// Verify describes the file as it is, if it is the one that the directory has under
// its name, and a regular one. It returns ErrBusy if not.
func (f *File) Verify(d *Dir) (fs.FileInfo, error) {
	there, err := d.root.Lstat(f.name)
	switch {
	case IsGone(err):
		return nil, ErrBusy
	case err != nil:
		return nil, fmt.Errorf("examining %s: %w", f.name, err)
	case !os.SameFile(f.info, there):
		if err := checkRegular(f.name, there); err != nil {
			return nil, err
		}
		return nil, ErrBusy
	}
	return there, nil
}

// NewFile is a file that is to be created.
type NewFile struct {
	Name    string
	Mode    fs.FileMode
	Content []byte
}

// CreateLocked creates the file in the directory, with its rights, whatever the umask, and
// locked from the beginning. replace says that a file with the name shall be replaced,
// which the caller has locked; otherwise the error is fs.ErrExist if there is one. It is
// ErrBusy if another program was at the file before it was locked and in its place.
func (n NewFile) CreateLocked(d *Dir, replace bool) (*File, error) {
	if d.making {
		return n.createLockedAt(d, n.Name)
	}
	made, err := newTemporaryName()
	if err != nil {
		return nil, err
	}
	f, err := n.createLockedAt(d, made)
	if err != nil {
		return nil, err
	}
	if replace {
		err = d.root.Rename(made, n.Name)
	} else {
		err = moveWithoutReplacing(d, made, n.Name)
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	_ = d.root.Remove(made)
	if errors.Is(err, errors.ErrUnsupported) && !replace {
		return n.createLockedAt(d, n.Name)
	}
	return nil, d.lost(err)
}

// createLockedAt creates the file with the name at, and locks it.
func (n NewFile) createLockedAt(d *Dir, at string) (*File, error) {
	f, info, err := n.createAt(d, at)
	if err != nil {
		return nil, err
	}
	file := &File{File: f, name: n.Name, info: info, lock: newFileLock(d, f, at, false)}
	locked, err := file.TryLock()
	if locked {
		return file, nil
	}
	faster := err == nil && at == n.Name // another process was, in the place where it may: the file stays
	if err == nil {
		err = ErrBusy
	}
	if !faster {
		_ = d.root.Remove(at)
	}
	file.Close()
	return nil, err
}

// createAt creates the file with the name at. The info is from before it was filled.
func (n NewFile) createAt(d *Dir, at string) (*os.File, fs.FileInfo, error) {
	f, err := d.root.OpenFile(at, os.O_RDWR|os.O_CREATE|os.O_EXCL|openFlags, n.Mode)
	if err != nil {
		return nil, nil, err
	}
	info, err := n.fill(f)
	if err != nil {
		f.Close()
		_ = d.root.Remove(at)
		return nil, nil, err
	}
	return f, info, nil
}

// fill gives the file its mode, which the umask may have taken away, and its content.
func (n NewFile) fill(f *os.File) (fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if hasModes && info.Mode().Perm() != n.Mode {
		if err := f.Chmod(n.Mode); err != nil {
			return nil, err
		}
	}
	if len(n.Content) == 0 {
		return info, nil
	}
	_, err = f.WriteAt(n.Content, ContentOffset)
	return info, err
}
