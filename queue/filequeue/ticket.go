package filequeue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
	"github.com/fifolock/fifolock/queue/filequeue/internal/notify"
	"github.com/fifolock/fifolock/queue/internal/label"
)

// ticket is a ticket of this process. The flock on its file is held for as
// long as it lives; that is what shows the others that its owner does.
type ticket struct {
	name   string
	number int64
	slots  int
	kind   kind
	stale  time.Duration
	lock   *lockedfile.Lock
	waiter waiter // has a lock of its own

	// Guarded by the directory's mu.
	seen      time.Time         // the file's time stamp since the last sign of life
	listening map[string]func() // ends listening to a remote ticket, by its name
	waited    bool              // has had to wait, and was not found to own yet
	closed    bool
}

// createTicket creates the ticket's file and takes its flock. If it returns an
// error, there is no file. The seq lock is held.
func createTicket(d *directory, number int64, s *settings) (*ticket, error) {
	name, err := newTicketName(number)
	if err != nil {
		return nil, fmt.Errorf("naming the ticket: %w", err)
	}
	file := lockedfile.NewFile{Name: name, Mode: s.fileMode(), Content: s.content().bytes()}
	lock, err := file.Create(d.dir.Load(), s.mode != 0, s.stale > 0)
	switch {
	case errors.Is(err, lockedfile.ErrBusy) || errors.Is(err, fs.ErrExist):
		return nil, errBusy // removed or locked at once: another program is at it
	case lockedfile.IsGone(err):
		return nil, errDirectoryGone
	case err != nil:
		return nil, fmt.Errorf("creating the ticket: %w", err)
	}
	return &ticket{name: name, number: number, slots: s.slots, kind: s.kind, stale: s.stale, lock: lock, seen: lock.Info().ModTime()}, nil
}

// close drops the flock. mu is held, or the ticket is not in line yet.
func (t *ticket) close() {
	if !t.closed {
		t.closed = true
		t.lock.Drop()
	}
}

// isInPlace reports whether the ticket's file is still at its path. By path, so
// that a directory that was moved away is noticed too.
func (t *ticket) isInPlace(d *directory) (bool, error) {
	info, err := d.dir.Load().LstatPath(t.name)
	switch {
	case err == nil:
		return t.lock.Is(info), nil
	case lockedfile.IsGone(err):
		return false, nil
	}
	return false, fmt.Errorf("looking for the ticket: %w", err)
}

// refresh shows that the ticket is in line, and that its flock is held.
func (k *knownLine) refresh(of queue.Ticket) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.ticket(of)
	if t == nil {
		return errNotLocal(k.directory, of)
	}
	in, err := t.isInPlace(k.directory)
	if err != nil {
		return err
	}
	if in && !t.lock.Held() {
		// Code that has nothing to do with the queue has closed the descriptor, and
		// dropped the flock with it. The ticket may be about to be evicted.
		_ = k.directory.dir.Load().Remove(t.name)
		in = false
	}
	if !in {
		i, _ := k.line.index(t.name)
		k.tell(k.line.left(i))
		return queue.ErrNotQueued
	}
	if t.stale == 0 {
		return nil
	}
	return t.touch()
}

// errNotLocal says of a ticket that is not one of this process in line, why. mu is
// held.
func errNotLocal(d *directory, t queue.Ticket) error {
	name, ok := parseTicketName(t.Member)
	if !ok || name.number != t.Number || !d.dir.Load().Exists(t.Member) {
		return queue.ErrNotQueued
	}
	return errors.New("the ticket was taken by another process, or by another path: only a queue of the same path can tell its owner")
}

// touch renews the time stamp of the ticket's file, by writing: so it is the
// file system's clock that says when.
//
// One that comes later than the stale timeout allows does not count: a process
// that was stopped between looking at the old time stamp and removing the file
// may have decided already. One that comes in time is seen by every process that
// evicts, each of which notes what time it is before looking (see isTooOld). So
// evicting and refreshing are one step each without a lock that a heartbeat might
// have to wait for. mu is held.
func (t *ticket) touch() error {
	f := t.lock.File()
	if _, err := f.WriteAt([]byte(t.stale.String()+"\n"), lockedfile.ContentOffset); err != nil {
		return fmt.Errorf("writing the ticket: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("examining the ticket: %w", err)
	}
	if info.ModTime().Sub(t.seen) > t.stale {
		return queue.ErrNotQueued
	}
	t.seen = info.ModTime()
	return nil
}

// listenTo has the ticket's waiter woken when one of the remote entries leaves or
// changes, and not by others any more. It reports whether it has begun to listen to
// another one, so that the caller must look once more, and whether it listens to all.
// mu is held.
func (t *ticket) listenTo(d *directory, entries []*entry) (begun, all bool) {
	wanted := make(map[string]bool, len(entries))
	all = true
	for _, e := range entries {
		if e.ticket != nil {
			continue // tells by itself
		}
		wanted[e.name] = true
		if t.listening[e.name] != nil {
			continue
		}
		remove, err := notify.Add(d.dir.Load().Path(e.name), func() { t.waiter.wake(queue.WakeHint) })
		if err != nil {
			all = false // the limit is reached, say, or there is no such service
			continue
		}
		begun = true
		if t.listening == nil {
			t.listening = make(map[string]func())
		}
		t.listening[e.name] = remove
	}
	for name, remove := range t.listening {
		if !wanted[name] {
			remove()
			delete(t.listening, name)
		}
	}
	return begun, all
}

// content is what the file of a ticket says, if there is anything to say: the stale
// timeout on the first line, then how many own, which says of what kind the line is, then
// the label, which is for people.
type content struct {
	stale  time.Duration // 0: the ticket lives as long as its owner
	owners int           // 0: it excludes all others
	label  string
}

const (
	ownersWord     = "owners "
	labelWord      = "label "
	longestContent = 64 + len(ownersWord) + 20 + len(labelWord) + label.Longest
)

func (c content) bytes() []byte {
	if c == (content{}) {
		return nil // as nearly all
	}
	text := c.stale.String() + "\n"
	if c.owners > 0 {
		text += ownersWord + strconv.Itoa(c.owners) + "\n"
	}
	if c.label != "" {
		text += labelWord + c.label + "\n"
	}
	return []byte(text)
}

// parseContent is the inverse of bytes. What makes no sense is left out.
func parseContent(b []byte) (c content) {
	first, rest, ok := strings.Cut(string(b), "\n")
	if !ok {
		return c
	}
	if d, err := time.ParseDuration(first); err == nil && d >= leastStaleTimeout {
		c.stale = d
	}
	for line := range strings.Lines(rest) {
		line, whole := strings.CutSuffix(line, "\n")
		if !whole {
			break
		}
		if text, found := strings.CutPrefix(line, ownersWord); found {
			c.owners = parseOwners(text)
		}
		if text, found := strings.CutPrefix(line, labelWord); found && label.Check(text) == nil {
			c.label = text
		}
	}
	return c
}

// parseOwners returns 0 for what is no number, and the highest for one that is too high
// for this machine.
func parseOwners(text string) int {
	if !isDecimal(text) {
		return 0
	}
	n, _ := strconv.Atoi(text)
	return n
}

// kind is that of the line which the ticket is in.
func (c content) kind() kind {
	if c.owners > 0 {
		return shared
	}
	return exclusive
}

// readContent returns what the file of a ticket says, nil if it cannot be read.
func readContent(f *os.File) *content {
	var buf [longestContent]byte // bounded, whatever is in the file
	n, err := f.ReadAt(buf[:], lockedfile.ContentOffset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	c := parseContent(buf[:n])
	return &c
}
