package lock

import (
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// How long a waiter waits before it looks, by its place and by what it can rely
// on.
func TestPollInterval(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		place       queue.Place
		watched     bool
		lease       time.Duration
		least, most time.Duration // of the hundredth poll, when the backoff is at its longest
	}{
		"first, not watched":                      {queue.Place{Ahead: 1, Recheck: time.Hour}, false, 0, 25 * ms, 25 * ms},
		"first, watched, nothing to rely on":      {queue.Place{Ahead: 1}, true, 0, 25 * ms, 25 * ms},
		"fourth, nothing to rely on":              {queue.Place{Ahead: 4}, true, 0, 100 * ms, 100 * ms},
		"far, nothing to rely on":                 {queue.Place{Ahead: 500}, true, 0, 700 * ms, 1300 * ms},
		"first, owners that do not die":           {queue.Place{Ahead: 1, Recheck: time.Hour}, true, 0, time.Second, time.Second},
		"first, the owner may die soon":           {queue.Place{Ahead: 1, Recheck: 300 * ms}, true, 30 * time.Second, 300 * ms, 300 * ms},
		"first, the owner may be dead":            {queue.Place{Ahead: 1, Recheck: 1}, true, 30 * time.Second, ms, ms},
		"second":                                  {queue.Place{Ahead: 2, Recheck: time.Hour}, true, 0, 1500 * ms, 2 * time.Second},
		"second, the owner may die soon":          {queue.Place{Ahead: 2, Recheck: 300 * ms}, true, 30 * time.Second, 225 * ms, 300 * ms},
		"far":                                     {queue.Place{Ahead: 500, Recheck: time.Hour}, true, 0, 45 * time.Second, time.Minute},
		"far, with a lease":                       {queue.Place{Ahead: 500, Recheck: time.Hour}, true, 30 * time.Second, 3750 * ms, 5 * time.Second},
		"far, woken by what may lose something":   {queue.Place{Ahead: 500, Recheck: time.Second}, true, 0, 3750 * ms, 5 * time.Second},
		"far, the owner may be dead: not at once": {queue.Place{Ahead: 100, Recheck: 1}, true, 30 * time.Second, 1875 * ms, 2500 * ms},
		"far, a short lease":                      {queue.Place{Ahead: 500, Recheck: time.Second}, true, 3 * time.Second, 750 * ms, time.Second},
		"a lease of nothing":                      {queue.Place{Ahead: 500, Recheck: 1}, true, 1, ms, ms},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPollInterval(nil, test.lease)
			for range 100 {
				p.step()
			}
			if d := p.next(test.place, test.watched); d < test.least || d > test.most {
				t.Errorf("it looks after %v, want %v to %v", d, test.least, test.most)
			}
		})
	}
}
