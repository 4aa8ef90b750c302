package filequeue

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// knownLine is the line of a directory as far as this process knows it, and its own
// tickets in it. It tells the line the events, and acts on the answers.
type knownLine struct {
	dir *lockedfile.Dir // set once, when the directory is opened

	mu sync.Mutex // guards all below

	gone    bool // the directory is not at its path any more
	line    line
	recheck *time.Timer // see setRecheck; nil while it is not set
}

// ticketNames lists the tickets that are in the directory, in order.
func ticketNames(dir *lockedfile.Dir) ([]string, error) {
	c, err := dir.List(seqName, isTicketName)
	if lockedfile.IsGone(err) {
		return nil, errDirectoryGone
	}
	if err != nil {
		return nil, fmt.Errorf("listing the directory: %w", err)
	}
	return c.Names, nil
}

// ticket returns the local ticket, nil if it is not one, or not in line any more.
// mu is held.
func (k *knownLine) ticket(t queue.Ticket) *ticket {
	if i, ok := k.line.index(t.Member); ok && k.line.entries[i].number == t.Number {
		return k.line.entries[i].ticket
	}
	return nil
}

// errNotLocal says why a ticket is not one of this process in line.
func errNotLocal(dir *lockedfile.Dir, t queue.Ticket) error {
	name, ok := parseTicketName(t.Member)
	if !ok || name.number != t.Number || !dir.Exists(t.Member) {
		return queue.ErrNotQueued
	}
	return errors.New("the ticket was taken by another process, or by another path: only a queue of the same path can tell its owner")
}

// known is how many are known to be in line, and the highest number that is known of a
// ticket.
func (k *knownLine) known() (n int, highest int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.line.entries), k.line.highest
}

// checkKind refuses a ticket in a line of the other kind. The first ticket tells the kind;
// said, from seq, counts only where this process may not open that ticket: seq may be an
// older one that was restored. Where neither tells it, the line may be of the other kind.
func (k *knownLine) checkKind(said, joining kind) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.line.entries) == 0 {
		return nil
	}
	is, first := said, k.line.entries[0]
	var err error
	if first.said == nil { // it may be the first since a moment, and not examined yet
		err = first.openProbe(k.dir)
	}
	switch {
	case first.said != nil:
		is = kindOf(first.said.owners)
	case first.unread != nil:
		return fmt.Errorf("the kind of the line cannot be told: examining %s: %w", first.name, first.unread)
	case said != noKind:
	case lockedfile.IsGone(err): // it has just left
		return errBusy
	default: // errBusy where another program has a lease on it
		return fmt.Errorf("the kind of the line cannot be told: %s says none, and the first ticket cannot be opened: %w", seqName, err)
	}
	if is == joining {
		return nil
	}
	return fmt.Errorf("the line is held as %s; %s cannot join it: give one of them another directory", is.user(), joining.user())
}

// isTaken reports whether it is certain, without the seq lock, that a new ticket would
// not own: as many tickets as own are in line, all of this process and without a stale
// timeout.
func (k *knownLine) isTaken(slots int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.line.entries) < slots {
		return false
	}
	for _, e := range k.line.owners(slots) {
		if e.isDoubtful() {
			return false
		}
		if in, err := e.ticket.isInPlace(); err != nil || !in {
			return false
		}
	}
	return true
}

// relist makes the line that of the listing which list makes. The seq lock is held.
func (k *knownLine) relist(list func() ([]string, error)) error {
	k.mu.Lock()
	k.line.begin()
	for name := range k.line.unremovable {
		if k.dir.Remove(name) != nil { // what hindered it may have passed
			break
		}
	}
	k.mu.Unlock()
	names, err := list()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.line.listing = false
	if err == nil {
		k.tell(k.line.listed(names))
	}
	return err
}

// tell acts on the news of a transition of the line. mu is held.
func (k *knownLine) tell(n news) {
	for _, e := range n.owners {
		e.ticket.waiter.wake(queue.WakeHint)
	}
	for _, e := range n.hints {
		e.ticket.waiter.wake(queue.WakeHint)
	}
	for _, e := range n.gone {
		e.closeProbe()
		if e.ticket != nil {
			e.ticket.end()
		}
	}
	if len(k.line.entries) > 0 {
		k.setRecheck()
	}
}

// forget takes the entry out of the line, if it is in it. mu is held.
func (k *knownLine) forget(name string) {
	if i, ok := k.line.index(name); ok {
		k.tell(k.line.left(i))
	}
}

// lose takes a lost local ticket out of the line. Its file goes too, if it is left: a
// directory that was moved away may come back. mu is held.
func (k *knownLine) lose(t *ticket) error {
	if info, err := k.dir.Lstat(t.name); err == nil && t.lock.Is(info) {
		_ = k.dir.Remove(t.name)
	}
	k.forget(t.name)
	return queue.ErrNotQueued
}

// refresh shows that the ticket is in line, and that its flock is held.
func (k *knownLine) refresh(of queue.Ticket) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.ticket(of)
	if t == nil {
		return errNotLocal(k.dir, of)
	}
	in, err := t.isInPlace()
	if err != nil {
		return err
	}
	if !in || !t.lock.Held() {
		// Not held: code that has nothing to do with the queue has closed the descriptor,
		// and dropped the flock with it. The ticket may be about to be evicted.
		return k.lose(t)
	}
	if t.terms.stale == 0 {
		return nil
	}
	err = t.touch()
	if errors.Is(err, queue.ErrNotQueued) {
		// Too late. What has been written must not keep the ticket in line for longer.
		return k.lose(t)
	}
	return err
}

// recheckEvery is how often the owners are examined for the first waiter of this process:
// nothing tells that a process has died. Each number of slots in use has its first waiter.
const recheckEvery = 30 * time.Millisecond

// setRecheck makes sure that the owners are examined as long as a ticket of this
// process waits for them. It does so for all of them: they are woken one by the other.
// mu is held, and the line is not empty.
func (k *knownLine) setRecheck() {
	if k.recheck == nil && len(k.line.suspects()) > 0 {
		k.recheck = time.AfterFunc(recheckEvery, k.recheckOwners)
	}
}

// recheckOwners wakes the first waiter of this process if one of the owners seems to be
// dead. That one looks, which evicts it. If it was woken before, and has not looked yet, the
// next one is woken as well.
func (k *knownLine) recheckOwners() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.recheck == nil {
		return // the directory was closed meanwhile
	}
	k.recheck = nil
	if k.gone || len(k.line.entries) == 0 {
		return
	}
	for first, owners := range k.line.suspects() {
		for _, e := range owners {
			if e.seemsGone(k.dir) {
				k.wakeServed(first)
				break
			}
		}
	}
	k.setRecheck()
}

// wakeServed wakes the waiters of this process from e on, up to one that takes its wake-ups.
// mu is held.
func (k *knownLine) wakeServed(e *entry) {
	i, _ := k.line.index(e.name)
	for _, next := range k.line.entries[i:] {
		if next.slots != e.slots || next.owns || !next.ticket.waiter.isHeard() {
			continue
		}
		served := next.ticket.waiter.isServed()
		next.ticket.waiter.wake(queue.WakeHint)
		if served {
			return
		}
	}
}

// announce wakes the first waiter of another process, where several own: from now on it has
// to listen to all of them. It listens to t, which was in front of it and owns now; announce
// touches the file of t. mu is held.
func (k *knownLine) announce(t *ticket) {
	if !t.waited {
		return
	}
	t.waited = false
	if t.slots() == 1 || k.line.waiting(t.slots(), t.slots()) != nil {
		return
	}
	now := time.Now()
	modified := now
	if t.terms.stale > 0 {
		modified = time.Time{} // as it is: this is no sign of life
	}
	_ = k.dir.Chtimes(t.name, now, modified) // an error: a hint is lost
}

// seemsGone reports whether the ticket should be examined. mu is held.
func (e *entry) seemsGone(dir *lockedfile.Dir) bool {
	if e.ticket == nil {
		if err := e.openProbe(dir); err != nil {
			return !isExhausted(err)
		}
		if locked, err := e.probe.TryLock(); locked || err != nil {
			e.probe.Unlock()
			return true
		}
	}
	if e.stale() == 0 {
		return false
	}
	info, err := dir.Lstat(e.name)
	return err != nil || time.Since(info.ModTime()) > e.stale()
}

// openProbe keeps the file of a remote ticket open, so that its lock can be asked for also
// when the process has no descriptors left. mu is held.
func (e *entry) openProbe(dir *lockedfile.Dir) error {
	if e.probe != nil {
		return nil
	}
	probe, err := dir.OpenToProbe(e.name)
	if err != nil {
		return err
	}
	e.probe = probe
	e.read(probe)
	return nil
}

func (e *entry) closeProbe() {
	if e.probe != nil {
		e.probe.Close()
		e.probe = nil
	}
}

// read notes the content of a remote ticket's file. That it cannot be read is no error for
// a waiter: it can tell all the same whether the owner is dead. mu is held.
func (e *entry) read(f *lockedfile.File) {
	if e.said == nil {
		e.said, e.unread = readContent(f.File)
	}
}

// isExhausted reports whether the process, or the system, has no more of something
// that it may have again later.
func isExhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
