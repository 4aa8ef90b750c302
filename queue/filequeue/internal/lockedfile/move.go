//go:build darwin || linux

package lockedfile

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// movesWithoutReplacing says that there are file systems that can.
const movesWithoutReplacing = true

// moveWithoutReplacing renames a file of the directory, or of any if d is nil. It
// returns fs.ErrExist if there is something with the new name, and
// errors.ErrUnsupported where it cannot be told.
func moveWithoutReplacing(d *Dir, from, to string) error {
	at := unix.AT_FDCWD
	if d != nil {
		at = int(d.file.Fd())
	}
	err := renameWithoutReplacing(at, from, to)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOTSUP):
		return errors.ErrUnsupported
	}
	return fmt.Errorf("renaming to %q: %w", to, err)
}
