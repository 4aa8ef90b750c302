package filequeue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

var (
	// errNoDirectory: there is no directory, and so no ticket.
	errNoDirectory = errors.New("there is no directory")

	// errRemoving: there is an exclusive flock on the directory. A process that removes the
	// directory has it for a moment. Another program may have it for long, and is not
	// waited for.
	errRemoving = errors.New("the directory is being removed")
)

// directory is shared by all Queue values of this process with one path. It
// exists as long as a call or a ticket of this process needs it.
//
// The seq lock is taken before mu of the line; opening and the lock of directories are
// held with neither.
type directory struct {
	path string

	// calls counts those under way; -1: it is being closed. Guarded by directories.
	calls int

	// closed is closed when the last one has gone and everything is closed.
	closed chan struct{}

	opening sync.Mutex  // guards these: isOpen and joined are set with it held
	isOpen  atomic.Bool // dir of the line is set
	joined  atomic.Bool // it has the shared flock on the directory, or does without
	mode    fs.FileMode // of WithFileMode, of the first call that has joined

	// cleanUp says that the last one cleans up: a call has joined, or asked for it.
	cleanUp atomic.Bool

	seq seq
	knownLine
}

// directories has all of the process by their paths.
var directories = struct {
	sync.Mutex
	byPath map[string]*directory
}{byPath: make(map[string]*directory)}

// useDirectory returns the one directory for the path, and counts the caller.
// done must follow.
func useDirectory(path string) *directory {
	for {
		directories.Lock()
		d := directories.byPath[path]
		if d == nil {
			d = &directory{path: path, closed: make(chan struct{})}
			d.line = newLine()
			directories.byPath[path] = d
		}
		if d.calls >= 0 {
			d.calls++
			directories.Unlock()
			return d
		}
		directories.Unlock()
		<-d.closed // it is being cleaned up
	}
}

// unlist lets later calls meet on a fresh directory.
func (d *directory) unlist() {
	directories.Lock()
	defer directories.Unlock()
	if directories.byPath[d.path] == d {
		delete(directories.byPath, d.path)
	}
}

// open opens the directory unless it is open. One that is joined must be one that s
// may use. If patient is set, the error is errRemoving if it seems to be removed.
func (d *directory) open(s *settings, join, patient bool) error {
	if !d.isOpen.Load() || join && !d.joined.Load() {
		if err := d.openFirst(s, join, patient); err != nil {
			return err
		}
	}
	if !join {
		return nil // a ticket is let go also by a process that has changed its user
	}
	return d.dir.CheckAccess(s.mode)
}

func (d *directory) openFirst(s *settings, join, patient bool) error {
	d.opening.Lock()
	defer d.opening.Unlock()
	if !d.isOpen.Load() {
		dir, err := d.openOrMake(s, join)
		if err != nil {
			return err
		}
		d.dir = dir
		d.isOpen.Store(true)
	}
	if join && !d.joined.Load() {
		if !d.dir.Share() && patient {
			return errRemoving
		}
		d.mode = s.mode
		d.cleanUp.Store(true)
		d.joined.Store(true)
	}
	return nil
}

// openOrMake is called with opening held.
func (d *directory) openOrMake(s *settings, create bool) (*lockedfile.Dir, error) {
	dir, err := lockedfile.Open(d.path)
	switch {
	case err == nil:
		return dir, nil
	case !create && errors.Is(err, fs.ErrNotExist):
		return nil, errNoDirectory
	case errors.Is(err, lockedfile.ErrBusy):
		return nil, errDirectoryGone // another process is just removing it
	case !create || !lockedfile.IsGone(err):
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	dir, err = s.home().Make(func(dir *lockedfile.Dir) error {
		// When it appears, seq is in it, says that the queue has made it, and is
		// locked by this process: there is no moment in which another one could
		// take it for a directory that was there before.
		err := d.seq.create(dir, s, seqContent{made: true, kind: kindOf(s.owners)})
		if errors.Is(err, fs.ErrExist) || errors.Is(err, lockedfile.ErrBusy) {
			// There is one where a directory appears empty (see lockedfile.Home): another
			// process has put in its seq. This one says so in it when it has locked it.
			d.seq.made = true
			return nil
		}
		return err
	}, d.seq.close)
	if err == nil {
		return dir, nil
	}
	d.seq.made = false
	if link, lerr := os.Lstat(d.path); lerr == nil && !link.IsDir() { // a junction of Windows is no symbolic link
		return nil, fmt.Errorf("opening the directory: a link to nothing, or no directory: %q", d.path)
	}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, lockedfile.ErrBusy) {
		return nil, errDirectoryGone // another process was faster, or is at it
	}
	return nil, fmt.Errorf("creating the directory: %w", err)
}

// invalidate is called when the directory is not at its path any more: its tickets
// are lost, and later calls shall open the one that is there now. Should it come
// back, the tickets must not: their locks were dropped.
func (d *directory) invalidate() {
	defer d.unlist() // not before: another call would find files of tickets, and not know that they were its own
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
	for len(d.line.entries) > 0 {
		if t := d.line.entries[0].ticket; t != nil {
			t.close()
			_ = d.dir.Remove(t.name)
		}
		d.tell(d.line.left(0))
	}
}
