package compare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

// settle is how long those that poll less and less are given to come to that.
const settle = 2 * time.Second

// idle is what waiting alone costs.
func idle(measure time.Duration) testCase {
	return testCase{
		Case:   report.Case{Name: report.Idle, About: "16 goroutines wait while the lock is not unlocked, after two seconds in which those that poll less and less have come to that. Requests are those to the server, and for a file queue the calls of its waiters (a look at the line takes several system calls). System calls are those on files, as `strace` counts them."},
		fits:   func(p peer.Peer) bool { return usual(p) && p.Backend != peer.Memory && p.Earlier == "" },
		atMost: 1,
		count:  16,
		time:   measure,
		run: func(ctx context.Context, c *comparison, one testCase, p peer.Peer) (map[string]float64, error) {
			f, err := c.measureIdle(ctx, one, p, load.MeasureIdle)
			if err != nil || hasServer(p) {
				return f, err
			}
			calls, err := load.IdleSystemCalls(p, c.site, c.newOptions(lease), one.count, settle, one.time)
			if errors.Is(err, load.ErrNoStrace) {
				c.leaveOut("idle system calls: " + err.Error())
				return f, nil
			}
			f["system_calls_per_waiter_and_s"] = float64(calls) / float64(one.count) / one.time.Seconds()
			return f, err
		},
	}
}

// idleLocks is many locks that are held and waited for, and nothing happens.
func idleLocks(measure time.Duration) testCase {
	const locks = 200
	return testCase{
		Case:   report.Case{Name: report.IdleLocks, About: fmt.Sprintf("%d locks of one process, each held and with one waiter, and none is unlocked; the heartbeats of the holders count. A waiter is a lock here.", locks)},
		atMost: 2,
		count:  locks,
		time:   measure,
		fits: func(p peer.Peer) bool {
			return slices.Contains([]string{peer.FifolockRedis, peer.FifolockRedisCrash, peer.Redislock50ms, peer.Redsync, peer.Rueidislock, peer.FifolockFile}, p.Name)
		},
		run: func(ctx context.Context, c *comparison, one testCase, p peer.Peer) (map[string]float64, error) {
			return c.measureIdle(ctx, one, p, load.MeasureIdleLocks)
		},
	}
}

type idleMeasure func(ctx context.Context, lock *peer.Lock, n int, settle, measure time.Duration, around func() error) (load.Idle, error)

func (c *comparison) measureIdle(ctx context.Context, one testCase, p peer.Peer, measure idleMeasure) (map[string]float64, error) {
	lock, err := c.open(ctx, p)
	if err != nil {
		return nil, err
	}
	m := c.meter(p)
	i, err := measure(ctx, lock, one.count, settle, one.time, m.around)
	if err = errors.Join(err, lock.Close()); err != nil {
		return nil, err
	}
	f := map[string]float64{"client_cpu_us_per_waiter_and_s": i.PerWaiterAndSecond(micros(i.ClientCPU))}
	if hasServer(p) || p.Name == peer.FifolockFile {
		f["operations_per_waiter_and_s"] = i.PerWaiterAndSecond(float64(i.Requests))
	}
	if hasServer(p) {
		f["server_cpu_us_per_waiter_and_s"] = i.PerWaiterAndSecond(micros(m.used()))
	}
	return f, nil
}
