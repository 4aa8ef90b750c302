package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// directory is what all File values of this process share about one path. It
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

	// seen is the number that seq had when the line was known in full. As long
	// as it has that number, nobody else has joined.
	seen int64

	// highest is the highest number that is known of a ticket, also of one that
	// has left: a seq that was damaged does not tell it any more.
	highest int64

	// undead has the tickets whose owners are gone but whose files could not
	// be removed. They are not in line.
	undead map[string]struct{}
}

// directories has all of the process by their paths.
var directories = struct {
	sync.Mutex
	byPath map[string]*directory
}{byPath: make(map[string]*directory)}

// useDirectory returns the one directory for the path. done must follow.
func useDirectory(path string) *directory {
	directories.Lock()
	defer directories.Unlock()
	d := directories.byPath[path]
	if d == nil {
		d = &directory{
			path:   path,
			gate:   make(chan struct{}, 1),
			own:    make(map[string]*ownTicket),
			undead: make(map[string]struct{}),
		}
		directories.byPath[path] = d
	}
	d.uses++
	return d
}

// retain adds a use. The caller has one already.
func (d *directory) retain() {
	directories.Lock()
	defer directories.Unlock()
	d.uses++
}

// done ends a use. With the last one the directory is closed.
func (d *directory) done() {
	directories.Lock()
	d.uses--
	last := d.uses == 0
	if last {
		d.unlist()
	}
	directories.Unlock()
	if last {
		d.close()
	}
}

// unlist lets later calls meet on a fresh directory. directories is locked.
func (d *directory) unlist() {
	if directories.byPath[d.path] == d {
		delete(directories.byPath, d.path)
	}
}

// close is called when nobody uses the directory any more.
func (d *directory) close() {
	if d.seq != nil {
		d.seq.Close()
	}
	if d.root != nil {
		d.root.Close()
	}
	if d.vacated {
		_ = removeDirectory(d.path) // an error: somebody has moved in meanwhile
	}
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
	if err := f.Chmod(s.directoryMode()); err != nil {
		return nil, err
	}
	return f.Stat()
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

// list returns the names of all tickets that are there, in order.
func (d *directory) list() ([]string, error) {
	f, err := d.root.Open(".")
	if isGone(err) {
		return nil, errDirectoryGone
	}
	if err != nil {
		return nil, fmt.Errorf("listing the directory: %w", err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if isGone(err) {
		return nil, errDirectoryGone // removed in between
	}
	if err != nil {
		return nil, fmt.Errorf("listing the directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, ok := parseTicketName(e.Name()); ok && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, strings.Compare)
	return names, nil
}

// merge makes the line what a listing made under the seq lock has found. mu is
// held.
func (d *directory) merge(names []string) {
	i := 0
	for _, name := range names {
		for i < len(d.line) && d.line[i].name < name {
			d.forget(i)
		}
		if i == len(d.line) || d.line[i].name != name {
			if _, ok := d.undead[name]; ok {
				continue
			}
			d.insert(i, &lineEntry{name: name, stale: -1})
		}
		i++
	}
	for i < len(d.line) {
		d.forget(i)
	}
	for name := range d.undead {
		if _, ok := slices.BinarySearch(names, name); !ok {
			delete(d.undead, name)
		}
	}
}

// insert puts somebody in line. mu is held.
func (d *directory) insert(i int, e *lineEntry) {
	d.line.insert(i, e)
	if i == len(d.line)-1 {
		name, _ := parseTicketName(e.name)
		d.highest = max(d.highest, name.number)
	}
}

// forget takes one who has left out of the line, and tells the next if it is
// of this process. mu is held.
func (d *directory) forget(i int) {
	e := d.line[i]
	d.line.remove(i)
	if i < len(d.line) && d.line[i].own != nil {
		d.line[i].own.bell.ring(Look)
	}
	if e.own != nil {
		d.drop(e.own)
	}
}

// drop lets go of a ticket of this process that is not in line any more. mu is
// held, and the caller has a use of its own.
func (d *directory) drop(t *ownTicket) {
	delete(d.own, t.name)
	d.listen(t, nil)
	t.bell.ring(Look) // it shall find out
	t.close()
	d.done()
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

// modeGrace is how long a file that others may use is waited for to get its
// mode: it is created with what the umask leaves of it.
const modeGrace = 100 * time.Millisecond

// within calls f with the directory of the queue, and again with a fresh one
// as long as somebody removes or replaces it meanwhile.
func (q *File) within(ctx context.Context, create bool, f func(*directory) error) error {
	if q.err != nil {
		return q.err
	}
	var p poll
	var refused time.Time // since when; zero if not
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := q.once(create, f)
		switch {
		case errors.Is(err, errDirectoryGone):
		case create && q.settings.mode != 0 && errors.Is(err, fs.ErrPermission):
			// Another user has just created the directory or seq, perhaps, and
			// has not given it the mode yet.
			if refused.IsZero() {
				refused = time.Now()
			}
			if time.Since(refused) > modeGrace {
				return err
			}
		default:
			return err
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

func (q *File) once(create bool, f func(*directory) error) error {
	d := useDirectory(q.settings.path)
	defer d.done()
	err := d.open(&q.settings, create)
	if err == nil {
		err = f(d)
	}
	if errors.Is(err, errDirectoryGone) {
		d.retire()
	}
	return err
}
