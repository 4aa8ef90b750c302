// Package load puts load on a lock and takes samples of what happens.
package load

import (
	"cmp"
	"context"
	"errors"
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
	// contendDrain is how long the goroutines that wait when the time is up may take to
	// get the lock once more, all of them together.
	contendDrain = 10 * time.Second

	// drainTimeout is how long a line may take to be served.
	drainTimeout = 2 * time.Minute
)

// Plan is what goroutines do that contend for one lock: each locks it, holds
// it, unlocks it, and begins again. It is sent to other processes as JSON.
type Plan struct {
	Waiters int           // goroutines, in each process
	First   int           // the number of the first of them
	Held    time.Duration // slept with the lock held; 0 is a section of nothing
	Holders int           // how many may hold at once; 0: one
	WarmUp  time.Duration // before the samples
	Measure time.Duration // of samples
	AtMost  int           // ends it after so many samples, too; 0: does not
}

// Run is what a Plan came to.
type Run struct {
	Plan       Plan
	From, To   int64            // the time that was measured, by package clock
	Waiters    int              // of all processes
	Samples    []figures.Sample // of the locks got after From; after To, those of goroutines that waited at To
	Grants     int              // how often the lock was got at all, with the warm-up and the end
	Unserved   int              // waiters that had not got it when contendDrain was over
	GivenUp    []time.Duration  // how long those had waited until then
	Operations int64            // sent to the backend for all of Grants
	ClientCPU  time.Duration    // used for all of Grants
}

// Contend does what the plan says. around is called when all waiters are connected, and
// again when they have ended, before they disconnect.
func Contend(ctx context.Context, lock *peer.Lock, plan Plan, around func() error) (Run, error) {
	c, err := assemble(ctx, lock, plan)
	if err != nil {
		return Run{}, err
	}
	if err := around(); err != nil {
		return Run{}, err
	}
	r, err := c.run(ctx, clock.Now())
	return r, errors.Join(err, around())
}

// crew is the goroutines of a plan.
type crew struct {
	plan    Plan
	lock    *peer.Lock
	members []*member

	from, to int64        // set by run
	left     atomic.Int64 // samples until AtMost is reached
}

// member is one goroutine. Its fields are its own until it has ended.
type member struct {
	crew    *crew
	number  int
	locker  peer.Locker
	samples []figures.Sample
	grants  int

	unserved bool
	waited   time.Duration // in a call of Lock that has failed
}

// assemble connects everyone, so that no time is measured for that.
func assemble(ctx context.Context, lock *peer.Lock, plan Plan) (*crew, error) {
	c := &crew{plan: plan, lock: lock}
	for i := range plan.Waiters {
		locker, err := lock.Waiter(ctx)
		if err != nil {
			return nil, fmt.Errorf("connect waiter %d: %w", plan.First+i, err)
		}
		c.members = append(c.members, &member{crew: c, number: plan.First + i, locker: locker})
	}
	return c, nil
}

// run begins at the time start, which is not before now by much.
func (c *crew) run(ctx context.Context, start int64) (Run, error) {
	c.from = start + int64(c.plan.WarmUp)
	c.to = c.from + int64(c.plan.Measure)
	c.left.Store(int64(c.plan.AtMost))
	ctx, cancel := context.WithTimeout(ctx, c.plan.WarmUp+c.plan.Measure+contendDrain)
	defer cancel()
	time.Sleep(time.Duration(start - clock.Now()))

	operations, cpu := c.lock.Operations(), processorTime()
	var (
		wg    sync.WaitGroup
		once  sync.Once
		first error
	)
	for _, m := range c.members {
		wg.Go(func() {
			err := m.work(ctx)
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.Is(err, ctx.Err()) {
				m.unserved = true // that is a figure, not a failure of the measurement
			} else if err != nil {
				once.Do(func() { first = fmt.Errorf("waiter %d: %w", m.number, err) })
				cancel() // the others have no reason to go on
			}
		})
	}
	wg.Wait()
	if first != nil {
		return Run{}, first
	}
	r := Run{Plan: c.plan, From: c.from, To: c.to, Waiters: len(c.members), Operations: c.lock.Operations() - operations, ClientCPU: processorTime() - cpu}
	for _, m := range c.members {
		r.Samples = append(r.Samples, m.samples...)
		r.Grants += m.grants
		if m.unserved {
			r.Unserved++
			r.GivenUp = append(r.GivenUp, m.waited)
		}
	}
	r.finish()
	return r, nil
}

// finish puts the samples in order. A run that ended early was measured only
// until then.
func (r *Run) finish() {
	slices.SortFunc(r.Samples, func(a, b figures.Sample) int { return cmp.Compare(a.Acquired, b.Acquired) })
	if n := len(r.Samples); n > 0 {
		r.To = min(r.To, r.Samples[n-1].Unlocked)
	}
}

func (m *member) work(ctx context.Context) error {
	for m.crew.goOn() {
		s, err := cycle(ctx, m.locker, m.crew.plan.Held)
		if err != nil {
			m.waited = time.Duration(clock.Now() - s.Called)
			return err
		}
		m.grants++
		if s.Acquired >= m.crew.from {
			s.Waiter = m.number
			m.samples = append(m.samples, s)
		}
	}
	return nil
}

// goOn reports whether there is time for one more.
func (c *crew) goOn() bool {
	now := clock.Now()
	if now >= c.to {
		return false
	}
	return c.plan.AtMost == 0 || now < c.from || c.left.Add(-1) >= 0
}

// cycle locks, holds, unlocks, and notes the times.
func cycle(ctx context.Context, locker peer.Locker, held time.Duration) (s figures.Sample, err error) {
	var arrival peer.Arrival
	ctx = arrival.With(ctx)
	s.Called = clock.Now()
	if err := locker.Lock(ctx); err != nil {
		return s, fmt.Errorf("lock: %w", err)
	}
	s.Acquired = clock.Now()
	if held > 0 {
		time.Sleep(held)
	}
	s.Arrived = arrival.At()
	s.Unlocking = clock.Now()
	if err := locker.Unlock(); err != nil {
		return s, fmt.Errorf("unlock: %w", err)
	}
	s.Unlocked = clock.Now()
	return s, nil
}
