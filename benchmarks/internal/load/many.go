package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// Many is what many different locks came to in one process.
type Many struct {
	Locks  int
	Time   time.Duration // to get and give up all of them
	Before Usage
	Held   Usage // while a batch was held
	AtOnce int   // locks of a batch
}

// oneWaiterIn is how many locks there are for one that has a waiter.
const oneWaiterIn = 100

// HoldMany takes so many different locks, some at once, with a goroutine waiting
// for every hundredth, and gives them up. whileHeld is called while the first
// batch is held.
func HoldMany(ctx context.Context, lock *peer.Lock, locks, atOnce int, whileHeld func() error) (Many, error) {
	m := Many{Locks: locks, AtOnce: atOnce}
	var err error
	if m.Before, err = CurrentUsage(); err != nil {
		return m, err
	}
	began := time.Now()
	for first := 0; first < locks; first += atOnce {
		batch, err := m.hold(ctx, lock, first, min(atOnce, locks-first))
		if err == nil && first == 0 {
			m.Held, err = CurrentUsage()
			if err == nil {
				err = whileHeld()
			}
		}
		if err != nil {
			disperseAll(batch)
			return m, err
		}
		for i, w := range batch {
			if _, err := w.served(); err != nil {
				disperseAll(batch[i+1:])
				return m, err
			}
		}
	}
	m.Time = time.Since(began)
	return m, nil
}

// disperseAll disperses all at once: when the backend is gone, each takes as
// long as an Unlock tries.
func disperseAll(batch []*waiting) {
	var wg sync.WaitGroup
	for _, w := range batch {
		wg.Go(w.disperse)
	}
	wg.Wait()
}

// hold takes n locks and lets a goroutine wait for some of them.
func (m *Many) hold(ctx context.Context, lock *peer.Lock, first, n int) (batch []*waiting, err error) {
	for i := range n {
		another, err := lock.Another(fmt.Sprintf("many-%d", first+i))
		if err != nil {
			return batch, err
		}
		waiters := 0
		if i%oneWaiterIn == 0 {
			waiters = 1
		}
		w, err := lineUp(ctx, another, waiters)
		if err != nil {
			return batch, err
		}
		batch = append(batch, w)
	}
	return batch, nil
}

// Figures are the figures of many locks.
func (m Many) Figures() map[string]float64 {
	return map[string]float64{
		"locks":                float64(m.Locks),
		"locks_at_once":        float64(m.AtOnce),
		"us_per_lock":          micros(m.Time) / float64(m.Locks),
		"watchers":             float64(m.Held.Watchers),
		"descriptors_per_lock": float64(m.Held.Descriptors-m.Before.Descriptors) / float64(m.AtOnce),
	}
}
