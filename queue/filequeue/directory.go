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

	// errDirectoryGone: what was opened is not what is at the path any more.
	// The call starts over.
	errDirectoryGone = errors.New("the directory was removed or replaced")

	// errRemoving: there is an exclusive flock on the directory. It is of a process that
	// removes it, which takes a moment, or of a program that keeps away from the shared
	// one, which may take long and is not waited for.
	errRemoving = errors.New("the directory is being removed")
)

// directory is what all Queue values of this process share about one path. It
// exists as long as a call or a ticket of this process needs it.
//
// Locks are taken in this order: the seq lock, mu, that of directories.
type directory struct {
	path string

	// refs counts the calls and the tickets; -1: it is being closed. Guarded by directories.
	refs int

	// closed is closed when the last one has gone and everything is closed.
	closed chan struct{}

	// dir is set once, by open.
	dir atomic.Pointer[lockedfile.Dir]

	// joined says that it has the shared flock on the directory, or does without. It is set
	// with mu of the line held.
	joined atomic.Bool

	// cleanUp says that the last one cleans up: a call has joined, or asked for it.
	cleanUp atomic.Bool

	seq seq

	knownLine

	mode fs.FileMode // of WithFileMode, of the first call that has joined; guarded by mu of the line
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
			d.knownLine = knownLine{directory: d, line: newLine(), tickets: make(map[string]*ticket)}
			directories.byPath[path] = d
		}
		if d.refs >= 0 {
			d.refs++
			directories.Unlock()
			return d
		}
		directories.Unlock()
		<-d.closed // it is being cleaned up
	}
}

// retain counts a ticket. The caller is counted already.
func (d *directory) retain() {
	directories.Lock()
	defer directories.Unlock()
	d.refs++
}

// done undoes retain. With the last one the directory is cleaned up and closed. ctx is
// that of the call, to tell of what it evicts.
func (d *directory) done(ctx context.Context) {
	directories.Lock()
	d.refs--
	last := d.refs == 0
	if last {
		d.refs = -1 // whatever comes now waits for a fresh one
	}
	directories.Unlock()
	if !last {
		return
	}
	evicted := d.close()
	directories.Lock()
	d.unlist()
	directories.Unlock()
	close(d.closed)
	queue.Evicted(ctx, evicted)
}

// unlist lets later calls meet on a fresh directory. directories is locked.
func (d *directory) unlist() {
	if directories.byPath[d.path] == d {
		delete(directories.byPath, d.path)
	}
}

// close is called when the directory is not used any more.
func (d *directory) close() (evicted []queue.Ticket) {
	dir := d.dir.Load()
	if dir == nil {
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
		remove, evicted = cleanUp(d)
	}
	d.seq.close()
	for _, e := range d.line.entries { // remote ones; they may be in line for long
		e.closeProbe()
	}
	dir.Close()
	if remove {
		_ = lockedfile.RemoveDirectory(d.path) // an error: another process has moved in meanwhile
	}
	return evicted
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
func withDirectory(ctx context.Context, s *settings, create bool, f func(*directory) error) error {
	p := poll{nap: true}
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

func withDirectoryOnce(ctx context.Context, s *settings, create, patient bool, f func(*directory) error) error {
	d := useDirectory(s.path)
	defer d.done(ctx)
	// The error of open may be errDirectoryGone too, if another process was faster to make
	// it. Other calls of this process may have opened that one by now, and have tickets.
	if err := d.open(s, create, patient); err != nil {
		return err
	}
	err := f(d)
	if errors.Is(err, errDirectoryGone) {
		d.invalidate()
	}
	return err
}

// open opens the directory unless it is open. One that is joined must be one that s
// may use. If patient is set, the error is errRemoving if it seems to be removed.
func (d *directory) open(s *settings, join, patient bool) error {
	if join && !d.joined.Load() || d.dir.Load() == nil {
		if err := d.openFirst(s, join, patient); err != nil {
			return err
		}
	}
	if !join {
		return nil // a ticket is let go also by a process that has changed its user
	}
	return d.dir.Load().CheckAccess(s.mode)
}

func (d *directory) openFirst(s *settings, join, patient bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := d.dir.Load()
	if dir == nil {
		var err error
		if dir, err = d.openOrMake(s, join); err != nil {
			return err
		}
		d.dir.Store(dir)
	}
	if join && !d.joined.Load() {
		if !dir.Share() && patient {
			return errRemoving
		}
		d.mode = s.mode
		d.cleanUp.Store(true)
		d.joined.Store(true)
	}
	return nil
}

// openOrMake is called with mu held.
func (d *directory) openOrMake(s *settings, create bool) (*lockedfile.Dir, error) {
	dir, err := lockedfile.Open(d.path)
	switch {
	case err == nil:
		return dir, nil
	case !lockedfile.IsGone(err):
		return nil, fmt.Errorf("opening the directory: %w", err)
	case !create && errors.Is(err, fs.ErrNotExist):
		return nil, errNoDirectory
	case !create:
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	dir, err = s.home().Make(func(dir *lockedfile.Dir) error {
		// When it appears, seq is in it, says that the queue has made it, and is
		// locked by this process: there is no moment in which another one could
		// take it for a directory that was there before.
		err := d.seq.create(dir, s, seqContent{made: true})
		if errors.Is(err, fs.ErrExist) || errors.Is(err, lockedfile.ErrBusy) {
			// There is one where a directory appears empty (see lockedfile.Home): another
			// process has put in its seq. This one says so in it when it joins.
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
// are lost, and later calls shall open what is there now. Should it come back,
// the tickets must not: their locks were dropped.
func (d *directory) invalidate() {
	directories.Lock()
	d.unlist()
	directories.Unlock()

	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
	for len(d.line.entries) > 0 {
		if t := d.line.entries[0].ticket; t != nil {
			t.close()
			_ = d.dir.Load().Remove(t.name)
		}
		d.tell(d.line.left(0))
	}
}

// list makes the line what the directory has. The seq lock is held.
func (d *directory) list() error {
	names, err := d.names()
	if err != nil {
		return err
	}
	d.take(names)
	return nil
}

// names lists the tickets that are in the directory, in order.
func (d *directory) names() ([]string, error) {
	c, err := d.dir.Load().List(seqName, isTicketName)
	if lockedfile.IsGone(err) {
		return nil, errDirectoryGone
	}
	if err != nil {
		return nil, fmt.Errorf("listing the directory: %w", err)
	}
	return c.Names, nil
}

func isTicketName(name string) bool {
	_, ok := parseTicketName(name)
	return ok
}
