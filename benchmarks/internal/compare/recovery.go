package compare

import (
	"context"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

// recoveryLease is short so that a run does not take long: how long a dead owner
// holds up those that know it by its lease is a matter of the lease.
const recoveryLease = 2 * time.Second

// recovery is how long it takes until the next has the lock of a process that
// was killed.
func recovery() testCase {
	return testCase{
		Case: report.Case{Name: report.Recovery, About: fmt.Sprintf("A process that holds the lock is killed with SIGKILL while another waits for it: how long until that one has it. Where a lease decides, it is %v (etcd makes it no shorter than its election time allows).", recoveryLease)},
		fits: func(p peer.Peer) bool { return p.Processes && usual(p) && p.Earlier == "" },
		run: func(ctx context.Context, c *comparison, _ testCase, p peer.Peer) (map[string]float64, error) {
			deaths := 20
			if hasServer(p) {
				deaths = 3 // each takes a lease
			}
			return c.recover(ctx, p, recoveryLease, deaths)
		},
	}
}

// recoveryWithDefaults is the same with the lease that a lock has by default.
func recoveryWithDefaults() testCase {
	return testCase{
		Case: report.Case{Name: report.RecoveryDefault, About: "The same with each lock's default lease: 30 s for fifolock, 8 s for redsync, 5 s for rueidislock, 60 s for etcd. redislock has no default. Crash detection is `redisqueue.WithCrashDetection(1 s)`."},
		fits: func(p peer.Peer) bool {
			polls := p.Name == peer.Redislock1ms || p.Name == peer.Redislock50ms || p.Name == peer.Redsync1ms
			return p.Processes && !p.AloneOnly && p.Earlier == "" && !polls
		},
		atMost: 1,
		run: func(ctx context.Context, c *comparison, _ testCase, p peer.Peer) (map[string]float64, error) {
			deaths := 20
			if p.Backend == peer.Redis && !p.DetectsCrashes || p.Backend == peer.Etcd {
				deaths = 1 // it takes a lease
			}
			return c.recover(ctx, p, 0, deaths)
		},
	}
}

// recover kills so many holders.
func (c *comparison) recover(ctx context.Context, p peer.Peer, lease time.Duration, deaths int) (map[string]float64, error) {
	if c.options.Quick {
		deaths = min(deaths, 2)
	}
	var all []time.Duration
	for range deaths {
		took, err := load.Recover(ctx, p, c.site, c.newOptions(lease))
		if err != nil {
			return nil, err
		}
		all = append(all, took)
	}
	sorted := figures.NewDurations(all)
	return map[string]float64{
		"deaths":          float64(deaths),
		"recovery_p50_us": micros(sorted.Median()),
		"recovery_max_us": micros(sorted.Max()), // a p99 would be that, of so few
	}, nil
}
