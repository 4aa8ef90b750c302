package filequeue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// open opens the directory unless it is open, and refuses one that s must not
// use. It returns errNoDirectory if there is none and it shall not be created.
func (d *directory) open(s *fileSettings, create bool) (err error) {
	if d.opened.Load() { // as nearly always, and many come at the same time
		return checkAccess(d.info, s.mode)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != nil {
		return checkAccess(d.info, s.mode)
	}
	if create {
		created, err := makeDirectory(s)
		if err != nil {
			return fmt.Errorf("creating the directory: %w", err)
		}
		d.created.Store(created)
	}
	defer func() {
		if err != nil && d.created.Swap(false) {
			_ = removeDirectory(d.path) // nothing half done
		}
	}()
	root, err := os.OpenRoot(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return errNoDirectory
		}
		if link, lerr := os.Lstat(d.path); lerr != nil || link.Mode()&fs.ModeSymlink == 0 {
			return errDirectoryGone // cleaned up by somebody in between
		}
		return fmt.Errorf("opening the directory: a symbolic link to nothing: %w", err)
	}
	if err != nil {
		return fmt.Errorf("opening the directory: %w", err)
	}
	info, err := rootInfo(root, s, d.created.Load())
	if err == nil {
		err = checkAccess(info, s.mode)
	}
	if err != nil {
		root.Close()
		return err
	}
	d.root, d.info = root, info
	d.opened.Store(true)
	return nil
}

// makeDirectory reports whether it was this call that created the directory.
func makeDirectory(s *fileSettings) (bool, error) {
	err := os.Mkdir(s.path, s.directoryMode())
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(s.path), s.directoryMode()); err != nil {
			return false, err
		}
		err = os.Mkdir(s.path, s.directoryMode())
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// rootInfo describes the directory, after giving one that was just created the
// mode that the umask may have taken away.
func rootInfo(root *os.Root, s *fileSettings, created bool) (fs.FileInfo, error) {
	info, err := root.Stat(".")
	if err != nil || !created || s.mode == 0 || info.Mode().Perm() == s.directoryMode() {
		return info, err
	}
	f, err := root.Open(".") // by descriptor: a path may be swapped
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// With the bit that it may have from above, which gives its files its group.
	if err := f.Chmod(s.directoryMode() | info.Mode()&fs.ModeSetgid); err != nil {
		return nil, err
	}
	return f.Stat()
}
