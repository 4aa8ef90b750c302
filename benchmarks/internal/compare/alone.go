package compare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

// inTurn is one goroutine that takes the locks of a backend one after the other.
func inTurn(measure time.Duration) testCase {
	return testCase{
		Case: report.Case{Name: report.InTurn, About: "One goroutine that locks and unlocks; nothing else wants the lock. The locks on one backend take turns after every cycle, so that all find the processors equally awake."},
		fits: func(p peer.Peer) bool { // how often a peer polls is no matter here
			return p.Name != peer.Redislock50ms && p.Name != peer.Redsync1ms && !p.Named && p.Earlier == ""
		},
		time:     measure,
		together: runInTurn,
	}
}

func runInTurn(ctx context.Context, c *comparison, one testCase, peers []peer.Peer) (all []map[string]float64, err error) {
	var locks []*peer.Lock
	defer func() {
		for _, l := range locks {
			err = errors.Join(err, l.Close())
		}
	}()
	for _, p := range peers {
		lock, err := c.open(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		locks = append(locks, lock)
	}
	samples, err := load.InTurn(ctx, locks, one.time)
	if err != nil {
		return nil, err
	}
	for _, s := range samples {
		cycles := figures.Cycles(s)
		all = append(all, map[string]float64{
			"cycle_p50_us": micros(cycles.Median()),
			"cycle_p99_us": micros(cycles.Percentile(99)),
		})
	}
	return all, nil
}

// alone is one goroutine and one lock.
func alone(plan load.Plan) testCase {
	plan.Waiters = 1
	return testCase{
		Case: report.Case{Name: report.Alone, About: "One goroutine that locks and unlocks in a loop; nothing else wants the lock, and each lock has the machine for itself."},
		fits: func(p peer.Peer) bool { return !p.Named },
		plan: plan,
		run:  runContended,
	}
}
