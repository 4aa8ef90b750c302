package compare

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
	"github.com/fifolock/fifolock/benchmarks/internal/server"
)

// descriptorsPerFileLock is more than a lock in files has open while it is held
// and waited for.
const descriptorsPerFileLock = 10

// line is a number of waiters that are served one after the other. Peers that
// are not meant for many are spared the largest numbers.
func line(n int) testCase {
	return testCase{
		Case:  report.Case{Name: fmt.Sprintf("line-%d", n), About: fmt.Sprintf("%d goroutines of one process wait while another has the lock; then each is served, and unlocks at once. Descriptors and memory are those while all wait.", n)},
		count: n,
		fits: func(p peer.Peer) bool {
			many := []string{peer.FifolockRedis, peer.FifolockFile, peer.FifolockMemory}
			some := []string{peer.Redislock1ms, peer.Rueidislock, peer.RueidislockNoLoop, peer.EtcdMutex, peer.Flock}
			few := []string{peer.PostgresAdvisory, peer.GofrsBlocking} // a process of the server, or a thread, for each
			return slices.Contains(many, p.Name) || n <= 1000 && slices.Contains(some, p.Name) || n <= 100 && slices.Contains(few, p.Name)
		},
		run: runLine,
	}
}

func runLine(ctx context.Context, c *comparison, one testCase, p peer.Peer) (map[string]float64, error) {
	lock, err := c.open(ctx, p)
	if err != nil {
		return nil, err
	}
	connections := 0
	l, err := load.ServeLine(ctx, lock, one.count, c.countConnections(p, &connections))
	if err = errors.Join(err, lock.Close()); err != nil {
		return nil, err
	}
	if err := figures.CheckExclusion(l.Samples, 1, 0); err != nil {
		return nil, err
	}
	return withConnections(l.Figures(), p, connections), nil
}

// countConnections asks Redis how many connections it has. Other servers are
// not asked.
func (c *comparison) countConnections(p peer.Peer, n *int) func() error {
	return func() (err error) {
		if p.Backend == peer.Redis {
			*n, err = server.RedisConnections(c.site.Redis)
		}
		return err
	}
}

func withConnections(f map[string]float64, p peer.Peer, n int) map[string]float64 {
	if p.Backend == peer.Redis {
		f["connections"] = float64(n)
	}
	return f
}

// manyLocks is fifolock alone.
func manyLocks() testCase {
	return testCase{
		Case:   report.Case{Name: report.ManyLocks, About: "One process with 10,000 different locks: all are held at once, with another goroutine waiting for every hundredth, and then given up. Locks in files are held in batches that the limit of open files allows. Descriptors and connections are those while a batch is held."},
		fits:   func(p peer.Peer) bool { return p.Name == peer.FifolockRedis || p.Name == peer.FifolockFile },
		atMost: 2,
		count:  10000,
		run: func(ctx context.Context, c *comparison, one testCase, p peer.Peer) (map[string]float64, error) {
			lock, err := c.open(ctx, p)
			if err != nil {
				return nil, err
			}
			atOnce := one.count
			if p.Backend == peer.Files {
				atOnce = min(atOnce, load.DescriptorLimit()/descriptorsPerFileLock)
			}
			connections := 0
			m, err := load.HoldMany(ctx, lock, one.count, atOnce, c.countConnections(p, &connections))
			if err = errors.Join(err, lock.Close()); err != nil {
				return nil, err
			}
			return withConnections(m.Figures(), p, connections), nil
		},
	}
}
