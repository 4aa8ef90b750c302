package filequeue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

var (
	// errNoDirectory: there is no directory, and so no ticket.
	errNoDirectory = errors.New("there is no directory")

	// errRemoving: there is an exclusive flock on the directory. It is of a process that
	// removes it, which takes a moment, or of a program that keeps away from the shared
	// one, which may take long and is not waited for.
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
			d.line, d.tickets = newLine(), make(map[string]*ticket)
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

// done is called when a call is over. With the last one, unless a ticket is left, the
// directory is cleaned up and closed.
func (d *directory) done() (evicted []queue.Ticket) {
	directories.Lock()
	d.calls--
	last := d.calls == 0 && len(d.tickets) == 0 // which only calls change
	if last {
		d.calls = -1 // later calls wait for a fresh one
	}
	directories.Unlock()
	if !last {
		return nil
	}
	evicted = d.close()
	d.unlist()
	close(d.closed)
	return evicted
}

// unlist lets later calls meet on a fresh directory.
func (d *directory) unlist() {
	directories.Lock()
	defer directories.Unlock()
	if directories.byPath[d.path] == d {
		delete(directories.byPath, d.path)
	}
}

// close is called when the directory is not used any more.
func (d *directory) close() (evicted []queue.Ticket) {
	if !d.isOpen.Load() {
		return nil
	}
	d.mu.Lock()
	if d.recheck != nil {
		d.recheck.Stop()
		d.recheck = nil
	}
	d.mu.Unlock()
	remove := false
	if d.cleanUp.Load() && !d.gone {
		c := d.call(context.Background(), &settings{path: d.path, mode: d.mode})
		remove = c.cleanUp()
		evicted = c.evicted
	}
	d.seq.close()
	for _, e := range d.line.entries { // remote ones; they may be in line for long
		e.closeProbe()
	}
	d.dir.Close()
	if remove {
		_ = lockedfile.RemoveDirectory(d.path) // an error: another process has moved in meanwhile
	}
	return evicted
}

// call begins a call, or the cleaning up after the last.
func (d *directory) call(ctx context.Context, s *settings) *call {
	return &call{evictor: evictor{knownLine: &d.knownLine}, seq: &d.seq, ctx: ctx, s: s}
}

const (
	// mostVanished is how often a call starts over because something on the way to the
	// directory was not there.
	mostVanished = 50

	// longestRemoving is how long a call waits while there is an exclusive flock on the
	// directory. For safety it need not wait at all.
	longestRemoving = 40 * time.Millisecond
)

// withDirectory calls f with the directory of the settings, and again with a fresh
// one as long as it is removed or replaced meanwhile. create says that it shall be
// made if it is not there; otherwise the error is errNoDirectory.
func withDirectory(ctx context.Context, s *settings, create bool, f func(*call) error) error {
	var p poll
	vanished := 0
	var removing time.Time // since when; zero if it is not
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		patient := removing.IsZero() || time.Since(removing) < longestRemoving
		err := withDirectoryOnce(ctx, s, create, patient, f)
		switch {
		case errors.Is(err, errDirectoryGone):
		case errors.Is(err, errRemoving):
			if removing.IsZero() {
				removing = time.Now()
			}
		case create && errors.Is(err, fs.ErrNotExist) && vanished < mostVanished:
			vanished++ // a directory above it was removed, or the file system is slow to know
		default:
			return err
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

func withDirectoryOnce(ctx context.Context, s *settings, create, patient bool, f func(*call) error) error {
	d := useDirectory(s.path)
	c := d.call(ctx, s)
	defer func() {
		if c.cleansUp {
			d.cleanUp.Store(true)
		}
		queue.Evicted(ctx, append(c.evicted, d.done()...))
	}()
	// The error of open may be errDirectoryGone too, if another process was faster to make
	// it. Other calls of this process may have opened that one by now, and have tickets.
	if err := d.open(s, create, patient); err != nil {
		return err
	}
	err := f(c)
	if errors.Is(err, errDirectoryGone) {
		d.invalidate()
	}
	return err
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
	case !create || !lockedfile.IsGone(err):
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	dir, err = s.home().Make(func(dir *lockedfile.Dir) error {
		// When it appears, seq is in it, says that the queue has made it, and is
		// locked by this process: there is no moment in which another one could
		// take it for a directory that was there before.
		err := d.seq.create(dir, s, seqContent{made: true})
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
	if link, lerr := os.Lstat(d.path); lerr == nil && link.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("opening the directory: a symbolic link to nothing: %q", d.path)
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
