package notify

import (
	"testing"
	"testing/synctest"

	"github.com/fsnotify/fsnotify"
)

// When events were lost, each file may have changed.
func TestLostEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fsnotify.Watcher{Events: make(chan fsnotify.Event), Errors: make(chan error)}
		n := notifier{listeners: make(map[string][]*listener)}
		called := make(map[string]int)
		for _, path := range []string{"one", "another"} {
			n.addListener(&listener{path: path, changed: func() { called[path]++ }})
		}
		go n.read(w)
		w.Errors <- fsnotify.ErrEventOverflow
		synctest.Wait()
		if called["one"] != 1 || called["another"] != 1 {
			t.Errorf("called: %v, want each once", called)
		}
		close(w.Events)
	})
}
