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
		err = CheckRegular(name, info)
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
		if cerr := CheckRegular(name, info); cerr != nil {
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

// Is reports whether info is that of this file.
func (f *File) Is(info fs.FileInfo) bool { return sameFile(f.info, info) }

// Verify describes the file as it is, if it is the one that the directory has under
// its name, and a regular one. It returns ErrBusy if not.
func (f *File) Verify(d *Dir) (fs.FileInfo, error) {
	there, err := d.root.Lstat(f.name)
	switch {
	case IsGone(err):
		return nil, ErrBusy
	case err != nil:
		return nil, fmt.Errorf("examining %s: %w", f.name, err)
	case !f.Is(there):
		if err := CheckRegular(f.name, there); err != nil {
			return nil, err
		}
		return nil, ErrBusy
	}
	return there, nil
}

// CreateLocked creates a file with rights and content that is locked from the
// beginning. replace says that a file with the name shall be replaced, which the
// caller has locked; otherwise the error is fs.ErrExist if there is one.
func (d *Dir) CreateLocked(name string, mode fs.FileMode, content []byte, replace bool) (*File, error) {
	f, made, info, err := d.create(mode, content)
	if err != nil {
		return nil, err
	}
	file := &File{File: f, name: name, info: info, lock: newFileLock(d, f, made, false)}
	locked, err := file.TryLock()
	if err == nil && !locked {
		err = ErrBusy
	}
	if err == nil && replace {
		err = d.root.Rename(made, name)
	} else if err == nil {
		err = moveWithoutReplacing(d, made, name)
	}
	if errors.Is(err, errors.ErrUnsupported) && !replace && locked {
		file.lock.drop()
		return d.createInPlace(f, made, name, mode, content)
	}
	if err != nil {
		_ = d.root.Remove(made)
		file.Close()
		return nil, err
	}
	return file, nil
}

// createInPlace is CreateLocked where a file cannot be moved without replacing. made
// is what was made under another name.
func (d *Dir) createInPlace(f *os.File, made, name string, mode fs.FileMode, content []byte) (*File, error) {
	f.Close()
	_ = d.root.Remove(made)
	f, info, err := d.createAt(name, mode, content)
	if err != nil {
		return nil, err
	}
	file := &File{File: f, name: name, info: info, lock: newFileLock(d, f, name, false)}
	locked, err := file.TryLock()
	if err == nil && !locked {
		err = ErrBusy // another process was faster: the file stays
	} else if err != nil {
		_ = d.root.Remove(name)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// create creates a file under another name.
func (d *Dir) create(mode fs.FileMode, content []byte) (f *os.File, made string, info fs.FileInfo, err error) {
	if made, err = newTemporaryName(); err != nil {
		return nil, "", nil, err
	}
	f, info, err = d.createAt(made, mode, content)
	return f, made, info, err
}

// createAt creates a file. What it says of it is from before it was filled.
func (d *Dir) createAt(name string, mode fs.FileMode, content []byte) (*os.File, fs.FileInfo, error) {
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|openFlags, mode)
	if err != nil {
		return nil, nil, err
	}
	info, err := fill(f, mode, content)
	if err != nil {
		f.Close()
		_ = d.root.Remove(name)
		return nil, nil, err
	}
	return f, info, nil
}

// fill gives a file that was just created its mode, which the umask may have taken
// away, and its content.
func fill(f *os.File, mode fs.FileMode, content []byte) (fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if hasModes && info.Mode().Perm() != mode {
		if err := f.Chmod(mode); err != nil {
			return nil, err
		}
	}
	if len(content) == 0 {
		return info, nil
	}
	_, err = f.WriteAt(content, ContentOffset)
	return info, err
}
