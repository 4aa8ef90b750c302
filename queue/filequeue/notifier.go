package filequeue

import (
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/fifolock/fifolock/queue"
)

// notifier tells when a file of another process's ticket changes. The process
// has one, with one fsnotify.Watcher, however many directories and waiters
// there are.
type notifier struct {
	// mu serialises what changes the watcher. It may be held for as long as
	// fsnotify needs, and is never taken by the goroutine that reads events:
	// on some systems fsnotify waits for that one.
	mu      sync.Mutex
	watcher *fsnotify.Watcher // nil while there is nothing to listen to
	idle    *time.Timer       // closes the watcher; nil unless it runs

	// listenersMu is held for an instant only, with nothing called under it
	// but bells.
	listenersMu sync.Mutex
	listeners   map[string][]*bell // by path
}

var fileNotifier = notifier{listeners: make(map[string][]*bell)}

// watcherIdle is how long a watcher that nobody uses is kept. To close an
// inotify descriptor takes the kernel milliseconds, and the next waiter is
// often not far.
const watcherIdle = 100 * time.Millisecond

// add lets the bell ring when the file at path changes or is removed. An error
// means that it will not.
func (n *notifier) add(path string, b *bell) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.start(); err != nil {
		return err
	}
	if !n.addListener(path, b) {
		return nil
	}
	err := n.watcher.Add(path)
	if err != nil {
		n.removeListener(path, b)
		n.stopIfIdle()
	}
	return err
}

// remove undoes add.
func (n *notifier) remove(path string, b *bell) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.removeListener(path, b) {
		_ = n.watcher.Remove(path) // an error: the file is gone, and the watch with it
	}
	n.stopIfIdle()
}

// start makes sure that there is a watcher. mu is held.
func (n *notifier) start() error {
	if n.idle != nil {
		n.idle.Stop()
		n.idle = nil
	}
	if n.watcher != nil {
		return nil
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	n.watcher = w
	go n.read(w)
	return nil
}

// stopIfIdle closes the watcher soon if nobody listens. mu is held.
func (n *notifier) stopIfIdle() {
	if n.watcher == nil || n.idle != nil || n.heard() {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(watcherIdle, func() { n.stop(&timer) })
	n.idle = timer
}

// stop closes the watcher, unless it was used again since the timer was set.
func (n *notifier) stop(timer **time.Timer) {
	n.mu.Lock()
	var w *fsnotify.Watcher
	if n.idle == *timer {
		w, n.watcher, n.idle = n.watcher, nil, nil
	}
	n.mu.Unlock()
	if w != nil {
		w.Close() // takes its time
	}
}

// read passes on what the watcher tells, until it is closed.
func (n *notifier) read(w *fsnotify.Watcher) {
	for {
		select {
		case event, ok := <-w.Events:
			if !ok {
				return
			}
			n.ring(event.Name)
		case _, ok := <-w.Errors:
			if !ok {
				return
			}
			n.ringAll() // events were lost
		}
	}
}

func (n *notifier) ring(path string) {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	for _, b := range n.listeners[path] {
		b.ring(queue.WakeHint)
	}
}

func (n *notifier) ringAll() {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	for _, bells := range n.listeners {
		for _, b := range bells {
			b.ring(queue.WakeHint)
		}
	}
}

// addListener reports whether it is the first for the path.
func (n *notifier) addListener(path string, b *bell) bool {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	n.listeners[path] = append(n.listeners[path], b)
	return len(n.listeners[path]) == 1
}

// removeListener reports whether it was the last for the path.
func (n *notifier) removeListener(path string, b *bell) bool {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	bells := slices.DeleteFunc(n.listeners[path], func(other *bell) bool { return other == b })
	if len(bells) > 0 {
		n.listeners[path] = bells
		return false
	}
	delete(n.listeners, path)
	return true
}

func (n *notifier) heard() bool {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	return len(n.listeners) > 0
}
