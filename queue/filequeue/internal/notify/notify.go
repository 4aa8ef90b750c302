// Package notify calls a function when a file changes or is removed, through
// fsnotify.
//
// The process has one fsnotify.Watcher, however many files are listened to: a system
// has few.
package notify

import (
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// idleTime is how long a watcher is kept that listens to nothing. To close an
// inotify descriptor takes the kernel milliseconds, and the next call is often
// not far.
const idleTime = 100 * time.Millisecond

type notifier struct {
	// mu serialises changes of the watcher. It may be held for as long as
	// fsnotify needs, and is never taken by the goroutine that reads events:
	// on some systems fsnotify waits for that one.
	mu      sync.Mutex
	watcher *fsnotify.Watcher // nil while there is nothing to listen to; guarded by mu
	idle    *time.Timer       // closes the watcher; set only while nothing is listened to; guarded by mu

	// listenersMu is held for an instant only, with nothing called under it but
	// listeners.
	listenersMu sync.Mutex
	listeners   map[string][]*listener // by path; guarded by listenersMu
}

type listener struct {
	path    string
	changed func()
}

var files = notifier{listeners: make(map[string][]*listener)}

// Add has changed called when the file at the path changes or is removed, until
// remove is called, which may be called more than once. The calls may be spurious;
// changed must return at once and not call this package. An error means that it will
// not be called: the limit of the system is reached, say.
func Add(path string, changed func()) (remove func(), err error) {
	l := &listener{path: path, changed: changed}
	if err := files.add(l); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { files.remove(l) }), nil
}

func (n *notifier) add(l *listener) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.start(); err != nil {
		return err
	}
	if !n.addListener(l) {
		return nil
	}
	err := n.watcher.Add(l.path)
	if err != nil {
		n.removeListener(l)
		n.stopIfIdle()
	}
	return err
}

func (n *notifier) remove(l *listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.removeListener(l) {
		_ = n.watcher.Remove(l.path) // an error: the file is gone, and the watch with it
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

// stopIfIdle closes the watcher soon if it listens to nothing. mu is held.
func (n *notifier) stopIfIdle() {
	if n.watcher == nil || n.idle != nil || n.isHeard() {
		return
	}
	n.idle = time.AfterFunc(idleTime, n.stop)
}

// stop closes the watcher, unless it is in use again. An earlier timer that could not be
// stopped any more may close it before its time, but only while it listens to nothing.
func (n *notifier) stop() {
	n.mu.Lock()
	var w *fsnotify.Watcher
	if n.idle != nil {
		w, n.watcher, n.idle = n.watcher, nil, nil
	}
	n.mu.Unlock()
	if w != nil {
		w.Close() // takes its time
	}
}

// read passes on the watcher's events until it is closed.
func (n *notifier) read(w *fsnotify.Watcher) {
	for {
		select {
		case event, ok := <-w.Events:
			if !ok {
				return
			}
			n.call(event.Name)
		case _, ok := <-w.Errors:
			if !ok {
				return
			}
			n.callAll() // events were lost
		}
	}
}

func (n *notifier) call(path string) {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	for _, l := range n.listeners[path] {
		l.changed()
	}
}

func (n *notifier) callAll() {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	for _, listeners := range n.listeners {
		for _, l := range listeners {
			l.changed()
		}
	}
}

// addListener reports whether it is the first for its path.
func (n *notifier) addListener(l *listener) bool {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	n.listeners[l.path] = append(n.listeners[l.path], l)
	return len(n.listeners[l.path]) == 1
}

// removeListener reports whether it was the last for its path.
func (n *notifier) removeListener(l *listener) bool {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	rest := slices.DeleteFunc(n.listeners[l.path], func(other *listener) bool { return other == l })
	if len(rest) > 0 {
		n.listeners[l.path] = rest
		return false
	}
	delete(n.listeners, l.path)
	return true
}

func (n *notifier) isHeard() bool {
	n.listenersMu.Lock()
	defer n.listenersMu.Unlock()
	return len(n.listeners) > 0
}
