package filequeue

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// leastFileStaleTimeout is what the time stamps of common file systems, which
// move in steps of up to 10 ms, can still make sense of: a ticket that is
// refreshed all the time may seem to be one step old.
const leastFileStaleTimeout = 10 * time.Millisecond

// fileSettings are the arguments of New, checked and completed.
type fileSettings struct {
	path  string        // absolute and clean
	stale time.Duration // 0: tickets live as long as their owners

	// mode is what WithFileMode said, 0 without it.
	mode fs.FileMode
}

func newFileSettings(dir string, o options) (fileSettings, error) {
	switch {
	case dir == "":
		return fileSettings{}, errors.New("the directory is empty: give New the path of one")
	case strings.ContainsRune(dir, 0):
		return fileSettings{}, errors.New("there is a NUL in the directory: no path may have one")
	}
	if err := o.checkStaleTimeout(leastFileStaleTimeout); err != nil {
		return fileSettings{}, err
	}
	if closeBeforeRemove && o.staleTimeoutSet {
		return fileSettings{}, errors.New("on this system a file that its owner has open cannot be removed, so nobody can be evicted by age: leave out WithStaleTimeout")
	}
	if err := checkFileMode(o); err != nil {
		return fileSettings{}, err
	}
	// Absolute, so that a later os.Chdir does not move the queue.
	path, err := filepath.Abs(dir)
	if err != nil {
		return fileSettings{}, err
	}
	return fileSettings{path: path, stale: o.staleTimeout, mode: o.fileMode}, nil
}

func checkFileMode(o options) error {
	const owner = 0o600
	if o.fileModeSet && (o.fileMode&^0o777 != 0 || o.fileMode&owner != owner) {
		return fmt.Errorf("file mode %#o: give WithFileMode permission bits alone, with 0600 among them", uint32(o.fileMode))
	}
	return nil
}

// fileMode is the mode of files in the directory.
func (s *fileSettings) fileMode() fs.FileMode {
	if s.mode != 0 {
		return s.mode
	}
	return 0o600
}

// directoryMode is fileMode with the right to search for all who may read.
func (s *fileSettings) directoryMode() fs.FileMode {
	mode := s.fileMode()
	return mode | mode&0o444>>2
}
