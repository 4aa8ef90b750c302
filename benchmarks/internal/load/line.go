package load

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/clock"
	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

const (
	// together is how many come at once. The next come when these have arrived, so that
	// an overtake can be told from two arrivals at the same time.
	together = 20

	// unseenArrival is how long waiters that come together are given to arrive where that
	// cannot be seen.
	unseenArrival = 2 * figures.Unseen

	// forMemory is how many must wait for the memory of each to be told: what the lock has
	// for all of them, and what the runtime keeps, is spread over them.
	forMemory = 1000
)

// waiting is a crowd that waits while one holder has the lock.
type waiting struct {
	lock   *peer.Lock
	holder peer.Locker
	sample figures.Sample // of the holder

	cancel  context.CancelFunc
	ctx     context.Context
	wg      sync.WaitGroup
	waiters []*waiter
	failed  atomic.Pointer[error]
}

// waiter is one of the crowd; its sample is its own until it has ended.
type waiter struct {
	arrival peer.Arrival
	called  atomic.Bool
	locker  peer.Locker
	sample  figures.Sample
}

// lineUp takes the lock and lets n others wait for it. All of them have arrived when it
// returns. A waiter that gets the lock unlocks it at once. served or disperse must
// follow.
func lineUp(ctx context.Context, lock *peer.Lock, n int) (*waiting, error) {
	w := &waiting{lock: lock}
	w.ctx, w.cancel = context.WithTimeout(ctx, drainTimeout)
	for range n {
		locker, err := lock.Waiter(ctx)
		if err != nil {
			w.cancel()
			return nil, fmt.Errorf("connect a waiter: %w", err)
		}
		w.waiters = append(w.waiters, &waiter{locker: locker})
	}
	if err := w.take(); err != nil {
		w.cancel()
		return nil, err
	}
	number := 1
	for batch := range slices.Chunk(w.waiters, together) {
		for _, one := range batch {
			one.sample.Waiter = number
			number++
			w.wg.Go(func() { w.wait(one) })
		}
		if err := w.awaitArrivals(batch); err != nil {
			w.disperse()
			return nil, err
		}
	}
	return w, nil
}

// take makes the holder, which is waiter 0.
func (w *waiting) take() (err error) {
	if w.holder, err = w.lock.Waiter(w.ctx); err != nil {
		return err
	}
	var arrival peer.Arrival
	w.sample.Called = clock.Now()
	if err := w.holder.Lock(arrival.With(w.ctx)); err != nil {
		return fmt.Errorf("lock a free lock: %w", err)
	}
	w.sample.Acquired = clock.Now()
	w.sample.Arrived = arrival.At()
	return nil
}

func (w *waiting) wait(one *waiter) {
	s := &one.sample
	s.Called = clock.Now()
	one.called.Store(true)
	if err := one.locker.Lock(one.arrival.With(w.ctx)); err != nil {
		w.fail(fmt.Errorf("lock: %w", err))
		return
	}
	s.Acquired = clock.Now()
	s.Arrived = one.arrival.At()
	s.Unlocking = clock.Now()
	if err := one.locker.Unlock(); err != nil {
		w.fail(fmt.Errorf("unlock: %w", err))
	}
	s.Unlocked = clock.Now()
}

// fail keeps the first error.
func (w *waiting) fail(err error) { w.failed.CompareAndSwap(nil, &err) }

func (w *waiting) err() error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// awaitArrivals waits until all of them are known to the lock; where that
// cannot be seen, until they must be.
func (w *waiting) awaitArrivals(batch []*waiter) error {
	const look = 200 * time.Microsecond
	unseen := time.Duration(0) // since all had called
	for {
		called, seen := 0, 0
		for _, one := range batch {
			if one.called.Load() {
				called++
			}
			if one.arrival.At() != 0 {
				seen++
			}
		}
		switch {
		case seen == len(batch), unseen >= unseenArrival && seen == 0:
			return nil
		case w.err() != nil:
			return w.err()
		case w.ctx.Err() != nil:
			return fmt.Errorf("%d of %d waiters have not arrived: %w", len(batch)-seen, len(batch), w.ctx.Err())
		case called == len(batch):
			unseen += look
		}
		time.Sleep(look)
	}
}

// served unlocks, and waits until every waiter has been served. It returns the samples,
// the holder's first.
func (w *waiting) served() ([]figures.Sample, error) {
	defer w.cancel()
	w.sample.Unlocking = clock.Now()
	if err := w.holder.Unlock(); err != nil {
		return nil, fmt.Errorf("unlock: %w", err)
	}
	w.sample.Unlocked = clock.Now()
	w.wg.Wait()
	samples := []figures.Sample{w.sample}
	for _, one := range w.waiters {
		samples = append(samples, one.sample)
	}
	return samples, w.err()
}

// disperse sends all waiters away. A waiter that ctx cannot end gets the lock first.
func (w *waiting) disperse() {
	w.cancel()
	_ = w.holder.Unlock() // the error is of no use any more
	w.wg.Wait()
}

// Line is the result of a line of waiters that were served one after the other.
type Line struct {
	Samples []figures.Sample // the holder's first
	Waiting Usage            // while all waited
	Before  Usage            // before they came
}

// ServeLine lets n goroutines wait for a lock, and then serves them. whileWaiting
// is called while all wait.
func ServeLine(ctx context.Context, lock *peer.Lock, n int, whileWaiting func() error) (Line, error) {
	var l Line
	var err error
	if l.Before, err = CurrentUsage(); err != nil {
		return l, err
	}
	w, err := lineUp(ctx, lock, n)
	if err != nil {
		return l, err
	}
	if l.Waiting, err = CurrentUsage(); err == nil {
		err = whileWaiting()
	}
	if err != nil {
		w.disperse()
		return l, err
	}
	l.Samples, err = w.served()
	return l, err
}

// Figures are the figures of a line. Times are in microseconds.
func (l Line) Figures() map[string]float64 {
	f := make(map[string]float64)
	all, _ := figures.HandOffs(l.Samples) // all had waited
	addPercentiles(f, "hand_off", all)
	addOvertakes(f, l.Samples, figures.CountOvertakes(l.Samples))
	n := float64(len(l.Samples) - 1)
	f["descriptors_per_waiter"] = float64(l.Waiting.Descriptors-l.Before.Descriptors) / n
	f["watchers"] = float64(l.Waiting.Watchers)
	if n >= forMemory {
		f["memory_bytes_per_waiter"] = float64(l.Waiting.Memory-l.Before.Memory) / n
	}
	return f
}
