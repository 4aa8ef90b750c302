package compare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
	"github.com/fifolock/fifolock/benchmarks/internal/server"
)

const (
	held = 5 * time.Millisecond

	// recoveryLease is short so that a run does not take long: how long a dead
	// owner holds up those who know it by its lease is a matter of the lease.
	recoveryLease = 2 * time.Second

	// mostSamples bounds the memory for the samples of a lock in memory.
	mostSamples = 500_000

	// descriptorsPerFileLock is more than a lock in files has open while it is
	// held and waited for.
	descriptorsPerFileLock = 10
)

// testCase is one thing that is measured with every peer that it fits.
type testCase struct {
	report.Case
	fits   func(peer.Peer) bool
	atMost int // repetitions
	run    func(context.Context, *comparison, testCase, peer.Peer) (map[string]float64, error)

	// together, instead of run, is for cases that have all peers of a backend
	// at once. It returns the figures in the order of the peers.
	together func(context.Context, *comparison, testCase, []peer.Peer) ([]map[string]float64, error)

	plan  load.Plan     // of cases in which waiters contend
	count int           // processes, waiters, deaths, locks
	time  time.Duration // of cases in which nothing happens
}

// allCases returns the cases, in the order in which they run.
func allCases(quick bool) []testCase {
	short := func(long, quickly time.Duration) time.Duration {
		if quick {
			return quickly
		}
		return long
	}
	window := load.Plan{WarmUp: short(400*time.Millisecond, 100*time.Millisecond), Measure: short(1500*time.Millisecond, 300*time.Millisecond), AtMost: mostSamples}
	const often = 1 << 20
	cases := []testCase{inTurn(short(3*time.Second, 600*time.Millisecond)), alone(window)}
	for _, n := range []int{8, 64, 512} {
		cases = append(cases, contended(fmt.Sprintf("goroutines-%d", n), fmt.Sprintf("%d goroutines of one process that lock, do nothing, and unlock.", n), n, window))
	}
	slow := window
	slow.Held, slow.Measure = held, short(2500*time.Millisecond, 1100*time.Millisecond)
	cases = append(cases, contended(report.Goroutines16Held, "16 goroutines of one process that lock, sleep for 5 ms, and unlock.", 16, slow))
	cases = append(cases, betweenProcesses(report.Processes, "4 processes of 4 goroutines each that lock, do nothing, and unlock.", window))
	cases = append(cases, betweenProcesses(report.ProcessesHeld, "4 processes of 4 goroutines each that lock, sleep for 5 ms, and unlock.", slow))
	for _, n := range []int{10, 100, 1000, 10000} {
		cases = append(cases, line(n))
	}
	cases = append(cases, recovery(), idle(short(10*time.Second, time.Second)), manyLocks())
	for i := range cases {
		if cases[i].atMost == 0 {
			cases[i].atMost = often
		}
	}
	return cases
}

func inTurn(measure time.Duration) testCase {
	return testCase{
		Case:     report.Case{Name: report.InTurn, About: "One goroutine that locks and unlocks; nobody else is there. The locks on one backend take turns after every cycle, so that all find the processors equally awake."},
		fits:     func(p peer.Peer) bool { return p.Name != peer.Redislock50ms && p.Name != peer.Redsync1ms }, // polling is no matter here
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

func alone(plan load.Plan) testCase {
	plan.Waiters = 1
	return testCase{
		Case: report.Case{Name: report.Alone, About: "One goroutine that locks and unlocks in a loop; nobody else is there, and each lock has the machine for itself."},
		fits: func(peer.Peer) bool { return true },
		plan: plan,
		run:  runContended,
	}
}

func contended(name, about string, waiters int, plan load.Plan) testCase {
	plan.Waiters = waiters
	return testCase{
		Case: report.Case{Name: name, About: about},
		fits: func(p peer.Peer) bool { return !p.AloneOnly },
		plan: plan,
		run:  runContended,
	}
}

func runContended(ctx context.Context, c *comparison, one testCase, p peer.Peer) (map[string]float64, error) {
	lock, err := c.open(ctx, p)
	if err != nil {
		return nil, err
	}
	var r load.Run
	cpu, err := c.serverCPU(p, func() (err error) {
		r, err = load.Contend(ctx, lock, one.plan)
		return err
	})
	if err = errors.Join(err, lock.Close()); err != nil {
		return nil, err
	}
	return runFigures(c, one, p, r, cpu)
}

func betweenProcesses(name, about string, plan load.Plan) testCase {
	plan.Waiters = 4
	return testCase{
		Case:  report.Case{Name: name, About: about},
		fits:  func(p peer.Peer) bool { return p.Processes && !p.AloneOnly },
		plan:  plan,
		count: 4,
		run: func(_ context.Context, c *comparison, one testCase, p peer.Peer) (map[string]float64, error) {
			var r load.Run
			cpu, err := c.serverCPU(p, func() (err error) {
				r, err = load.ContendBetweenProcesses(p, c.site, c.newOptions(lease), one.plan, one.count)
				return err
			})
			if err != nil {
				return nil, err
			}
			return runFigures(c, one, p, r, cpu)
		},
	}
}

// runFigures makes figures of a run, if the lock did its work.
func runFigures(c *comparison, one testCase, p peer.Peer, r load.Run, serverCPU time.Duration) (map[string]float64, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	c.keep(one, p, r)
	f := r.Figures()
	if hasServer(p) && r.Grants > 0 {
		f["server_cpu_us_per_acquisition"] = float64(serverCPU.Microseconds()) / float64(r.Grants)
	} else {
		delete(f, "operations_per_acquisition")
	}
	return f, nil
}

func hasServer(p peer.Peer) bool { return p.Backend != peer.Files && p.Backend != peer.Memory }

// line is a number of waiters who are served one after the other. Those who are
// not meant for many are spared the largest numbers.
func line(n int) testCase {
	return testCase{
		Case:  report.Case{Name: fmt.Sprintf("line-%d", n), About: fmt.Sprintf("%d goroutines of one process wait while another has the lock; then each is served, and unlocks at once. Threads, descriptors and memory are those while all wait.", n)},
		count: n,
		fits: func(p peer.Peer) bool {
			many := []string{peer.FifolockRedis, peer.FifolockFile, peer.FifolockMemory}
			some := append(many, peer.Redislock1ms, peer.Rueidislock, peer.EtcdMutex, peer.Flock)
			return slices.Contains(many, p.Name) || n <= 1000 && slices.Contains(some, p.Name)
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

// recovery is how long it takes until the next has the lock of a process that
// was killed.
func recovery() testCase {
	return testCase{
		Case: report.Case{Name: report.Recovery, About: fmt.Sprintf("A process that holds the lock is killed with SIGKILL while another waits for it: how long until that one has it. Where a lease decides, it is %v (etcd makes it no shorter than its election time allows).", recoveryLease)},
		fits: func(p peer.Peer) bool { return p.Processes && !p.AloneOnly },
		run: func(ctx context.Context, c *comparison, _ testCase, p peer.Peer) (map[string]float64, error) {
			deaths := 20
			if hasServer(p) {
				deaths = 3 // each takes a lease
			}
			if c.options.Quick {
				deaths = 2
			}
			var all []time.Duration
			for range deaths {
				took, err := load.Recover(ctx, p, c.site, c.newOptions(recoveryLease))
				if err != nil {
					return nil, err
				}
				all = append(all, took)
			}
			sorted := figures.NewDurations(all)
			return map[string]float64{
				"recovery_p50_us": micros(sorted.Median()),
				"recovery_p99_us": micros(sorted.Percentile(99)),
			}, nil
		},
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// idle is what waiting alone costs.
func idle(measure time.Duration) testCase {
	return testCase{
		Case:   report.Case{Name: report.Idle, About: "16 goroutines wait while nobody unlocks, after two seconds in which those who poll less and less have come to that. Operations are requests to the server, and for a file queue its calls (a look at the line takes several system calls). System calls are those on files, as `strace` counts them."},
		fits:   func(p peer.Peer) bool { return !p.AloneOnly && p.Backend != peer.Memory },
		atMost: 2,
		count:  16,
		time:   measure,
		run:    runIdle,
	}
}

const settle = 2 * time.Second

func runIdle(ctx context.Context, c *comparison, one testCase, p peer.Peer) (map[string]float64, error) {
	lock, err := c.open(ctx, p)
	if err != nil {
		return nil, err
	}
	var cpu []time.Duration
	i, err := load.MeasureIdle(ctx, lock, one.count, settle, one.time, func() error {
		used, err := c.servers.CPU(p.Backend)
		cpu = append(cpu, used)
		return err
	})
	if err = errors.Join(err, lock.Close()); err != nil {
		return nil, err
	}
	f := map[string]float64{"client_cpu_us_per_waiter_and_s": i.PerWaiterAndSecond(micros(i.ClientCPU))}
	if hasServer(p) || p.Name == peer.FifolockFile {
		f["operations_per_waiter_and_s"] = i.PerWaiterAndSecond(float64(i.Operations))
	}
	if hasServer(p) {
		f["server_cpu_us_per_waiter_and_s"] = i.PerWaiterAndSecond(micros(cpu[1] - cpu[0]))
		return f, nil
	}
	calls, err := load.IdleSystemCalls(p, c.site, c.newOptions(lease), one.count, settle, one.time)
	if errors.Is(err, load.ErrNoStrace) {
		c.leaveOut("idle system calls: " + err.Error())
		return f, nil
	}
	f["system_calls_per_waiter_and_s"] = float64(calls) / float64(one.count) / one.time.Seconds()
	return f, err
}

// manyLocks is fifolock alone: peers open a client for each lock here.
func manyLocks() testCase {
	return testCase{
		Case:   report.Case{Name: report.ManyLocks, About: "One process with 10,000 different locks: all are held at once, with another goroutine waiting for every hundredth, and then given up. Locks in files are held in batches that the limit of open files allows. Threads, descriptors and connections are those while a batch is held."},
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
