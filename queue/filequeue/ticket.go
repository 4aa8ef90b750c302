package filequeue

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
	"github.com/fifolock/fifolock/queue/filequeue/internal/notify"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

// ticket is a ticket of this process. The flock on its file is held for as
// long as it lives; that shows other processes that its owner lives.
type ticket struct {
	dir    *lockedfile.Dir
	name   string
	number int64
	terms  content // of its file
	lock   *lockedfile.Lock
	waiter waiter // has a lock of its own

	// Guarded by the mu of the line.
	seen      time.Time         // the file's time stamp since the last sign of life
	listening map[string]func() // ends listening to a remote ticket, by its name
	waited    bool              // has had to wait, and was not found to own yet
	closed    bool
}

// slots is how many own at a time by the ticket's terms.
func (t *ticket) slots() int { return max(1, t.terms.owners) }

// withdraw takes back a ticket that is not in line yet.
func (t *ticket) withdraw() {
	if lockedfile.CloseBeforeRemove {
		t.close()
	}
	_ = t.dir.Remove(t.name) // an error: it is a dead one then
	t.close()
}

// end lets go of a ticket that is not in line any more. mu is held.
func (t *ticket) end() {
	t.listenTo(nil)
	t.waiter.wake(queue.WakeHint) // it shall find out
	t.close()
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
func (t *ticket) isInPlace() (bool, error) {
	info, err := t.dir.LstatPath(t.name)
	switch {
	case err == nil:
		return t.lock.Is(info), nil
	case lockedfile.IsGone(err):
		return false, nil
	}
	return false, fmt.Errorf("looking for the ticket: %w", err)
}

// touch renews the time stamp of the ticket's file, by writing: so the time
// is that of the file system's clock.
//
// One that comes later than the stale timeout allows does not count: a process
// that was stopped between looking at the old time stamp and removing the file
// may have decided already. One that comes in time is seen by every process that
// evicts, each of which notes the time before it looks (see isTooOld). So
// evicting and refreshing are one step each without a lock that a heartbeat might
// have to wait for. mu is held.
func (t *ticket) touch() error {
	f := t.lock.File()
	if _, err := f.WriteAt([]byte(t.terms.stale.String()+"\n"), lockedfile.ContentOffset); err != nil {
		return fmt.Errorf("writing the ticket: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("examining the ticket: %w", err)
	}
	if info.ModTime().Sub(t.seen) > t.terms.stale {
		return queue.ErrNotQueued
	}
	t.seen = info.ModTime()
	return nil
}

// listenTo has the ticket's waiter woken when one of the remote tickets with the names
// leaves or changes, and not by others any more. It reports whether it has begun to listen
// to another one, so that the caller must look once more, and whether it listens to all.
// The names are in order. mu is held.
func (t *ticket) listenTo(names []string) (begun, all bool) {
	all = true
	for _, name := range names {
		if t.listening[name] != nil {
			continue
		}
		remove, err := notify.Add(t.dir.Path(name), func() { t.waiter.wake(queue.WakeHint) })
		if err != nil {
			all = false // the limit is reached, say, or there is no such service
			continue
		}
		begun = true
		if t.listening == nil {
			t.listening = make(map[string]func())
		}
		t.listening[name] = remove
	}
	for name, remove := range t.listening {
		if _, ok := slices.BinarySearch(names, name); !ok {
			remove()
			delete(t.listening, name)
		}
	}
	return begun, all
}

// waiter wakes the listener of one ticket. It has a lock of its own, taken last
// and for an instant, so that it may be called from anywhere.
type waiter struct {
	mu       sync.Mutex
	listener chan queue.Wake // of capacity 1; nil: there is none. Guarded by mu
}

func (w *waiter) add() chan queue.Wake {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listener = make(chan queue.Wake, 1)
	return w.listener
}

// remove ends the listening, unless there is a later listener.
func (w *waiter) remove(wake chan queue.Wake) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener == wake {
		w.listener = nil
	}
}

// isHeard reports whether there is a listener.
func (w *waiter) isHeard() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.listener != nil
}

// isServed reports whether the listener has taken what it was woken for. If not, it may be
// busy for long: with a hook of its caller's, say.
func (w *waiter) isServed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.listener) == 0
}

func (w *waiter) wake(what queue.Wake) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener != nil {
		wakeup.Put(w.listener, what)
	}
}
