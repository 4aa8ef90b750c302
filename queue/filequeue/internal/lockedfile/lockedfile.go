// Package lockedfile opens, creates, verifies and locks one file of a directory,
// and makes and removes that directory. It knows nothing of tickets; everything
// that differs between systems is in it.
//
// Its rules:
//
//   - A lock counts only for a regular file that the directory has under the name:
//     the opened file is compared with the name after it was locked.
//   - No link is followed, no FIFO waited for, no file truncated.
//   - A file or directory with rights or content of its own is made under another
//     name, and moved into place without replacing anything. A process that is killed
//     meanwhile leaves that other name, which has no meaning, and never a file that
//     is half made. Only where the system cannot move without replacing is it made in
//     place. A file that was left goes with the directory; for a directory see [Home].
//   - An error leaves nothing behind.
package lockedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/google/uuid"
)

// ErrBusy is returned when the file is locked, or was removed or replaced while it
// was being locked, or cannot be opened for a while: the caller may try again.
var ErrBusy = errors.New("in use by another process")

// NotOursError is returned for a file that no queue would create.
type NotOursError struct {
	Name string
	What string
}

func (e *NotOursError) Error() string {
	return fmt.Sprintf("%s is %s, which this queue did not put there: remove it, or give the queue a directory of its own", e.Name, e.What)
}

// checkRegular returns a *NotOursError unless info is that of a regular file.
func checkRegular(name string, info fs.FileInfo) error {
	what := "not a regular file"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeSymlink != 0:
		what = "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		what = "a FIFO"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	}
	return &NotOursError{Name: name, What: what}
}

// Rights are those that users have to a file: its owner's alone where the system does not
// say them in bits. Windows has every file that may be written to as 0666.
func Rights(info fs.FileInfo) fs.FileMode {
	if !hasModes {
		return 0o600
	}
	return info.Mode().Perm()
}

// IsGone reports whether an error says that there is nothing at a path, also because
// something on the way to it is no directory any more.
func IsGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

const temporaryPrefix = "new."

// newTemporaryName is a name that is not used for anything.
func newTemporaryName() (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%x", temporaryPrefix, id[:]), nil
}

// isTemporary reports whether the name is one of newTemporaryName.
func isTemporary(name string) bool {
	const digits = 32
	id, ok := strings.CutPrefix(name, temporaryPrefix)
	return ok && len(id) == digits && strings.Trim(id, "0123456789abcdef") == ""
}

// quoted puts the path of an error of package os in quotes.
func quoted(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) && err == error(p) {
		return fmt.Errorf("%s %q: %w", p.Op, p.Path, p.Err)
	}
	return err
}
