package filequeue

import (
	"sync"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

// watch begins to listen for the ticket. A predecessor of this process rings
// the bell itself; fsnotify tells of one of another process.
//
// What is listened to follows the line: every look at it (see place) makes sure
// that it is the one directly in front, and that this one is still there.
func (d *directory) watch(t queue.Ticket) (wake <-chan queue.Wake, stop func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	own := d.ownTicket(t)
	if own == nil {
		if err := d.refreshForeign(t); err != nil {
			return nil, nil, err
		}
		return nil, nil, errForeign
	}
	listener := own.bell.add()
	ahead, err := d.place(own)
	if err != nil {
		own.bell.remove(listener)
		return nil, nil, err
	}
	if ahead != t.Ahead {
		wakeup.Put(listener, queue.WakeHint) // the line has moved since the caller has seen it
	}
	d.setAlarm()
	d.retain()
	return listener, sync.OnceFunc(func() { d.unwatch(own, listener) }), nil
}

func (d *directory) unwatch(own *ownTicket, listener chan queue.Wake) {
	defer d.done()
	d.mu.Lock()
	defer d.mu.Unlock()
	own.bell.remove(listener)
	if !own.bell.heard() {
		d.listen(own, nil)
	}
}

// listen lets the ticket's bell ring when the one before it, which may be nil,
// leaves or changes. It reports whether it has just begun to, so that the
// caller must look once more. mu is held.
func (d *directory) listen(t *ownTicket, before *lineEntry) (begun bool) {
	path := ""
	if before != nil && before.own == nil {
		path = d.join(before.name)
	}
	if path == t.listening {
		return false
	}
	if t.listening != "" {
		fileNotifier.remove(t.listening, &t.bell)
		t.listening = ""
	}
	if path == "" {
		return false
	}
	if fileNotifier.add(path, &t.bell) == nil {
		t.listening = path
	}
	// Where there is nothing to listen to (limit reached, no such service),
	// the caller's polls carry on alone.
	return true
}
