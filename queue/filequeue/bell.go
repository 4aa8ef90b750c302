package filequeue

import (
	"sync"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

// bell wakes whoever watches one ticket. It has a lock of its own, taken last
// and for an instant, so that it may be rung from anywhere.
type bell struct {
	mu    sync.Mutex
	wakes []chan queue.Wake // each of capacity 1
}

func (b *bell) add() chan queue.Wake {
	wake := make(chan queue.Wake, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wakes = append(b.wakes, wake)
	return wake
}

func (b *bell) remove(wake chan queue.Wake) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range b.wakes {
		if w == wake {
			b.wakes = append(b.wakes[:i], b.wakes[i+1:]...)
			return
		}
	}
}

// heard reports whether anybody listens.
func (b *bell) heard() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.wakes) > 0
}

// ring tells everybody who listens.
func (b *bell) ring(w queue.Wake) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, wake := range b.wakes {
		wakeup.Put(wake, w)
	}
}
