package filequeue

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	// errNoDirectory: there is no directory, so nobody is in line.
	errNoDirectory = errors.New("there is no directory")

	// errDirectoryGone: what was opened is not what is at the path any more.
	// The caller starts over.
	errDirectoryGone = errors.New("the directory was removed or replaced")
)

// directory is what all Queue values of this process share about one path. It
// exists as long as a call, a ticket or a watch of this process needs it.
//
// Locks are taken in this order: the seq lock, mu, that of directories. A
// method of seqLock needs the first; one that says so, mu.
type directory struct {
	path string

	// uses counts the calls, tickets and watches. Guarded by directories.
	uses int

	// gate is in front of the flock on seq: who has put its element in may
	// poll for it. So at most one goroutine of the process does, and all the
	// others wait where their ctx can end it.
	gate chan struct{}

	// joining counts the calls that are about to take a ticket. Whoever leaves
	// an empty line leaves it to them to clean up; see file_release.go.
	joining atomic.Int64

	root    *os.Root    // set once, by open
	info    fs.FileInfo // of root
	opened  atomic.Bool // root and info are set
	created atomic.Bool // by us, and the seq lock was not held since: nobody is in line

	mu sync.Mutex // guards what follows

	retired bool // not at its path any more
	vacated bool // to be removed when it is closed; see vacate

	// seq is open to be read and written while the directory is in use; the
	// flock has a descriptor of its own. Set only with the seq lock held.
	seq     *os.File
	seqInfo fs.FileInfo

	line line
	own  map[string]*ownTicket

	// seen is the number that seq had when the line was known in full, and
	// seenAt a time after which it was not changed. As long as it has that
	// number, nobody else has joined: unless somebody has put an older copy of
	// seq in its place, and that has changed it.
	seen   int64
	seenAt time.Time // guarded by the seq lock

	// highest is the highest number that is known of a ticket, also of one that
	// has left: a seq that was damaged does not tell it any more.
	highest int64

	// alarm wakes the first of this process who waits, now and then; see setAlarm.
	// nil if it is not set.
	alarm *time.Timer

	// undead has the tickets whose owners are gone but whose files could not
	// be removed. They are not in line.
	undead map[string]struct{}
}

// vacate removes the directory if nothing is in it. Where what is open cannot be
// removed, that has to wait until nobody of this process uses it. If another
// process does, the directory stays, empty, for that one to remove or to use.
func (d *directory) vacate() {
	if closeBeforeRemove {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.vacated = true
		return
	}
	if removeDirectory(d.path) == nil {
		d.retire()
	}
}

// retire is called when the directory is not at its path any more: its tickets
// are lost, and later calls shall open what is there now. Should it come back,
// the tickets must not: nobody would hold their locks.
func (d *directory) retire() {
	directories.Lock()
	d.unlist()
	directories.Unlock()

	d.mu.Lock()
	defer d.mu.Unlock()
	d.retired = true
	for len(d.line) > 0 {
		if own := d.line[0].own; own != nil {
			own.close()
			d.root.Remove(own.name)
		}
		d.forget(0)
	}
}

// join is the path of a file in the directory.
func (d *directory) join(name string) string {
	return d.path + string(filepath.Separator) + name
}

// current reports whether what is open is what is at the path. Only what is
// certain counts as a no: tickets are lost with it.
func (d *directory) current() bool {
	info, err := os.Stat(d.path)
	if err != nil {
		return !isGone(err)
	}
	return os.SameFile(info, d.info)
}

// exists reports whether the ticket is there. What cannot be found out counts
// as there: to wait too long is the lesser fault.
func (d *directory) exists(name string) bool {
	info, err := d.root.Lstat(name)
	if err != nil {
		return !isGone(err)
	}
	return info.Mode().IsRegular()
}

// isGone reports whether there is nothing at a path, also because something on
// the way to it is no directory any more.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }
