package filequeue

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
	"github.com/fifolock/fifolock/queue/internal/label"
)

// Option changes how a [Queue] behaves. A value that makes no sense is reported by
// the first call that uses the queue.
type Option func(*settings) error

// WithStaleTimeout also evicts a living owner that has not refreshed its ticket for
// d: it was stopped, the machine was suspended, or a clock was set. It holds for
// the tickets taken through this value, whichever process examines them. One that may not
// remove the ticket's file, as another user's in a sticky directory, lets it stay. A clock
// that is set back puts the eviction off by as much.
//
// Without it there is no eviction by age: the kernel says which owners are dead, at
// once and without fail. With it the contract is the weaker one: use it where a
// stopped holder must not hold up the line, and check the fencing token. The
// timeout is at least 10 ms, and should be several times the step in which the file
// system counts, and many times as long as taking a ticket takes where many come at once.
// It is refused on Windows, where the file of a living owner cannot
// be removed.
func WithStaleTimeout(d time.Duration) Option {
	return func(s *settings) error {
		if d < leastStaleTimeout {
			return fmt.Errorf("stale timeout %v is less than %v: give WithStaleTimeout a longer time, or leave it out", d, leastStaleTimeout)
		}
		if lockedfile.CloseBeforeRemove {
			return errors.New("on this system a file that its owner has open cannot be removed, so that no ticket can be evicted by age: leave out WithStaleTimeout")
		}
		s.stale = d
		return nil
	}
}

// WithFileMode lets other users share the queue: its files get these
// permission bits, whatever the umask, and its directory the same with the
// right to search for all that may read; so do directories above it that are
// missing. Their group is the primary one of the process that makes them, or that
// of the directory above if it has the setgid bit; the users of a mode like 0660
// must have it in common. Below a directory with the sticky bit, only the user that
// has made the queue's directory can remove it, so that it may stay, with seq. All
// programs of the queue must give it: where others may write, one without it is refused.
//
// Without it files are for their owner alone (0600, the directory 0700), and a
// directory that belongs to another user (but root) is refused. One that all users may
// write to is refused unless the mode lets them write, too: a process that can write to
// it can take the lock away, or plant a link. On Windows the mode says nothing of
// users, and nothing is refused.
func WithFileMode(mode fs.FileMode) Option {
	return func(s *settings) error {
		const owner = 0o600
		if mode&^0o777 != 0 || mode&owner != owner {
			return fmt.Errorf("file mode %#o: give WithFileMode permission bits alone, with 0600 among them", uint32(mode))
		}
		s.mode = mode
		return nil
	}
}

// WithLabel gives the tickets taken through this value a text for people, shown in
// queue.Member.Label. It decides nothing. It may have 128 bytes of printable text on
// one line.
func WithLabel(text string) Option {
	return func(s *settings) error {
		s.label = text
		return label.Check(text)
	}
}

// settings are the arguments of New, checked and completed. They do not change.
type settings struct {
	path   string        // absolute and clean
	stale  time.Duration // 0: tickets live as long as their owners
	mode   fs.FileMode   // that of WithFileMode, 0 without it
	label  string
	owners int // 0: one, exclusively
}

func newSettings(dir string, opts []Option) (settings, error) {
	s := settings{path: dir}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(&s); err != nil {
			return s, err
		}
	}
	switch {
	case dir == "":
		return s, errors.New("the path is empty: give New that of a directory")
	case dir == "~" || strings.HasPrefix(dir, "~/"):
		return s, fmt.Errorf("the directory is %q, and ~ is a shell's: give New the whole path, with os.UserHomeDir or os.UserCacheDir in front", dir)
	case strings.ContainsRune(dir, 0):
		return s, errors.New("there is a NUL in the directory: no path may have one")
	}
	// Absolute, so that a later os.Chdir does not move the queue.
	path, err := filepath.Abs(dir)
	if err != nil {
		return s, err
	}
	s.path = path
	return s, nil
}

// fileMode is the mode of files in the directory.
func (s *settings) fileMode() fs.FileMode {
	if s.mode != 0 {
		return s.mode
	}
	return 0o600
}

// home is where the directory is made and removed. Users that may read its files may search it.
func (s *settings) home() lockedfile.Home {
	mode := s.fileMode()
	return lockedfile.Home{Path: s.path, Mode: mode | mode&0o444>>2, File: seqName}
}

// seqFile is seq as it is created.
func (s *settings) seqFile(c seqContent) lockedfile.NewFile {
	return lockedfile.NewFile{Name: seqName, Mode: s.fileMode(), Content: c.bytes()}
}

// content is that of the tickets' files.
func (s *settings) content() content {
	return content{stale: s.stale, owners: s.owners, label: s.label}
}

// slots is how many own at a time.
func (s *settings) slots() int { return max(1, s.owners) }
