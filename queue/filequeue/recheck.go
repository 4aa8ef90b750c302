package filequeue

import (
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// recheckEvery is how often the first of this process that waits has the owners
// examined: nothing tells that a process has died. There is a first one for each number
// of slots in use.
const recheckEvery = 30 * time.Millisecond

// setRecheck makes sure that the owners are examined as long as a ticket of this
// process waits for them. It does so for all of them: they are woken one by the other.
// mu is held.
func (k *knownLine) setRecheck() {
	if k.recheck != nil || len(k.line.entries) == 0 {
		return
	}
	if len(k.suspects()) == 0 {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(recheckEvery, func() { k.recheckOwners(&timer) })
	k.recheck = timer
}

// suspects are the owners that may die without telling, for each of the first of this
// process that wait for them. mu is held.
func (k *knownLine) suspects() map[*entry][]*entry {
	if !k.line.owners(1)[0].isDoubtful() && len(k.line.slots) == 1 && k.line.slots[1] > 0 {
		return nil // the usual case with one process
	}
	var all map[*entry][]*entry
	for slots := range k.line.slots {
		first := k.line.firstWaiting(slots, func(e *entry) bool { return e.ticket.waiter.isHeard() })
		if first == nil {
			continue
		}
		for _, e := range k.line.owners(slots) {
			if !e.isDoubtful() {
				continue
			}
			if all == nil {
				all = make(map[*entry][]*entry)
			}
			all[first] = append(all[first], e)
		}
	}
	return all
}

// recheckOwners wakes the first waiter of this process if one of the owners seems to be
// dead. That one looks, which evicts it.
func (k *knownLine) recheckOwners(timer **time.Timer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.recheck != *timer {
		return
	}
	k.recheck = nil
	if k.gone || len(k.line.entries) == 0 {
		return
	}
	suspects := k.suspects()
	for first, owners := range suspects {
		for _, e := range owners {
			if k.seemsGone(e) {
				first.ticket.waiter.wake(queue.WakeHint)
				break
			}
		}
	}
	if len(suspects) > 0 {
		k.recheck = *timer
		k.recheck.Reset(recheckEvery)
	}
}

// seemsGone reports whether the ticket should be examined. mu is held.
func (k *knownLine) seemsGone(e *entry) bool {
	dir := k.directory.dir.Load()
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
	if e.said == nil {
		e.said = readContent(probe.File)
	}
	return nil
}
