package filequeue

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

const (
	// How long a waiter may rely on being woken: one that is woken through fsnotify,
	// which may lose something, and one that is woken by another ticket of this process.
	recheckRemote = time.Second
	recheckLocal  = time.Minute
)

// position says where the ticket stands. It removes those in front whose owners are gone,
// until none is: a process that dies often has others with it.
func (c *call) position(t queue.Ticket) (queue.Place, error) {
	for {
		place, suspects, err := c.look(t)
		if err != nil || len(suspects) == 0 {
			return place, err
		}
		gone, err := c.evictSuspects(suspects)
		if ended := c.ctx.Err(); ended != nil {
			return queue.Place{}, ended // also when it ended right after that: 0 alone says that it owns
		}
		if isExhausted(err) {
			return place, nil // it does not refute the known place; the next look may have more luck
		}
		if err == nil {
			err = checkWritable(c.dir, t.Member)
		}
		if err != nil {
			return queue.Place{}, err
		}
		if !gone {
			return place, nil
		}
	}
}

// checkWritable reports that the file system has become read-only, as it does when it
// finds an error in itself. No ticket can leave the line any more then, so that a waiter
// would never own, though the cached line may look well. name is that of a local ticket.
func checkWritable(dir *lockedfile.Dir, name string) error {
	f, err := dir.OpenToWrite(name)
	if err == nil {
		f.Close()
	}
	if errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EIO) {
		return fmt.Errorf("opening the ticket: %w", err)
	}
	return nil
}

// look returns the local ticket's place, and the doubtful entries in front of it: only
// an examination tells whether their owners are alive.
func (k *knownLine) look(of queue.Ticket) (queue.Place, []*entry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.ticket(of)
	if t == nil {
		return queue.Place{}, nil, errNotLocal(k.dir, of)
	}
	place, i, err := k.place(t)
	if err != nil || place.Ahead == 0 || k.isLookedFor(t) {
		return place, nil, err
	}
	return place, k.line.doubtful(i, t.slots()), nil
}

// isLookedFor reports whether another ticket of this process waits in front of it, and
// has the owners examined for all: the work of looking does not grow with the number of a
// process's waiters. mu is held.
func (k *knownLine) isLookedFor(t *ticket) bool {
	if k.recheck == nil {
		return false
	}
	first := k.line.firstWaiting(t.slots())
	return first != nil && first.number < t.number && first.ticket.waiter.isServed()
}

// place returns the ticket's place, and its index in the line. The number ahead is exact
// if it is 0 or 1, and more than 1 otherwise. If there is a listener, place makes sure
// that it hears of those that it must. mu is held.
func (k *knownLine) place(t *ticket) (place queue.Place, i int, err error) {
	in, err := t.isInPlace()
	if err != nil {
		return queue.Place{}, 0, err
	}
	if !in {
		return queue.Place{}, 0, k.lose(t)
	}
	i, _ = k.line.index(t.name)
	for {
		if i <= t.slots() || !k.isLookedFor(t) || k.line.entries[i-1].ticket == nil {
			i = k.prune(i, t.slots())
		}
		n := k.line.ahead(i)
		if n == 0 {
			t.listenTo(nil)
			k.announce(t)
			return queue.Place{}, i, nil
		}
		if !t.waiter.isHeard() {
			return queue.Place{Ahead: n}, i, nil
		}
		begun, all := t.listenTo(remote(k.line.watched(i, t.slots())))
		if !begun {
			place := queue.Place{Ahead: n}
			if all {
				place.Recheck = recheckLocal
				if len(t.listening) > 0 {
					place.Recheck = recheckRemote
				}
			}
			return place, i, nil
		}
		// One may have left while this began to listen.
	}
}

// remote are the names of those of other processes, in order: local ones tell by themselves.
func remote(entries []*entry) (names []string) {
	for _, e := range entries {
		if e.ticket == nil {
			names = append(names, e.name)
		}
	}
	return names
}

// prune forgets tickets in front of the i'th that have left: from the front on, until
// as many are there as own, and back from its predecessor, up to the first that is
// there. Those in between need not be known. So the cost is that of the tickets that
// have left, and each is forgotten once for the whole process. It returns how many
// remain. mu is held.
func (k *knownLine) prune(i, slots int) int {
	for j := 0; j < i && j < slots; {
		if k.dir.Exists(k.line.entries[j].name) {
			j++
			continue
		}
		k.tell(k.line.left(j))
		i--
	}
	for i > slots && !k.dir.Exists(k.line.entries[i-1].name) {
		k.tell(k.line.left(i - 1))
		i--
	}
	return i
}

// watch begins to listen for the ticket. A local predecessor wakes it itself, so that there
// is nothing to be looked at, now or by the caller; fsnotify tells of a remote one.
//
// Every look at the line (see place) makes sure that the right tickets are
// listened to, and that they are still there.
func (k *knownLine) watch(of queue.Ticket) (wake <-chan queue.Wake, stop func(), err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.ticket(of)
	if t == nil {
		return nil, nil, errNotLocal(k.dir, of)
	}
	listener := t.waiter.add()
	i, _ := k.line.index(t.name)
	if k.line.ahead(i) == 0 || len(remote(k.line.watched(i, t.slots()))) > 0 {
		place, _, err := k.place(t)
		if err != nil {
			t.waiter.remove(listener)
			return nil, nil, err
		}
		if place.Ahead != of.Ahead {
			wakeup.Put(listener, queue.WakeHint) // the line has moved since the caller has seen it
		}
	}
	k.setRecheck()
	return listener, sync.OnceFunc(func() { k.unwatch(t, listener) }), nil
}

// unwatch ends the listening. The ticket may have left, and the directory be closed: then
// nothing is listened to any more.
func (k *knownLine) unwatch(t *ticket, listener chan queue.Wake) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t.waiter.remove(listener)
	if !t.waiter.isHeard() {
		t.listenTo(nil)
	}
}

// evictSuspects removes the suspects whose owners are gone, and reports whether there were
// any. It takes the seq lock only if it cannot do without.
func (c *call) evictSuspects(suspects []*entry) (gone bool, err error) {
	if !lockedfile.CloseBeforeRemove {
		gone, err = c.evictAll(suspects)
		if gone || err != nil || !c.haveStale(suspects) {
			return gone, err
		}
	}
	l, err := c.lockSeq(longestLook, nil)
	if errors.Is(err, errBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer l.unlock()
	return l.evictAll(suspects)
}
