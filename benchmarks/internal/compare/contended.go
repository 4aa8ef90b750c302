package compare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

// contended is goroutines of one process that want one lock.
func contended(name, about string, waiters int, plan load.Plan) testCase {
	plan.Waiters = waiters
	return testCase{
		Case: report.Case{Name: name, About: about},
		fits: usual,
		plan: plan,
		run:  runContended,
	}
}

// betweenProcesses is some processes with so many goroutines each.
func betweenProcesses(name, about string, plan load.Plan, goroutines ...int) testCase {
	return testCase{
		Case:      report.Case{Name: name, About: about},
		fits:      func(p peer.Peer) bool { return p.Processes && usual(p) },
		plan:      plan,
		processes: goroutines,
		run:       runContended,
	}
}

// runContended runs the plan of a case and makes figures of it.
func runContended(ctx context.Context, c *comparison, one testCase, p peer.Peer) (map[string]float64, error) {
	r, cpu, err := contend(ctx, c, one, p)
	if err != nil {
		return nil, err
	}
	return runFigures(c, one, p, r, cpu)
}

// contend runs the plan of a case: in this process, or in others where the case
// or the peer wants it.
func contend(ctx context.Context, c *comparison, one testCase, p peer.Peer) (r load.Run, cpu time.Duration, err error) {
	m := c.meter(p)
	o := c.newOptions(lease)
	o.Holders = one.plan.Holders
	goroutines := one.processes
	if p.Earlier != "" && goroutines == nil {
		goroutines = []int{one.plan.Waiters}
	}
	if goroutines != nil {
		if r, err = load.ContendBetweenProcesses(p, c.site, o, one.plan, m.around, goroutines...); err != nil {
			return r, 0, err
		}
		return r, m.used(), nil
	}
	lock, err := p.Open(ctx, c.site, o)
	if err != nil {
		return r, 0, err
	}
	r, err = load.Contend(ctx, lock, one.plan, m.around)
	if err = errors.Join(err, lock.Close()); err != nil {
		return r, 0, err
	}
	return r, m.used(), nil
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

// doors are about the way into the line, which is luck where what guards it is
// polled, or given to the process that runs.
func doors(plan load.Plan) (cases []testCase) {
	about := "%s that lock, do nothing, and unlock. Overtakes are counted from the call of Lock, with the way into the line."
	for _, d := range []struct {
		name, who  string
		goroutines []int
	}{
		{report.Door2x1, "2 processes of one goroutine each", []int{1, 1}},
		{report.Door2x8, "2 processes of 8 goroutines each", []int{8, 8}},
		{report.Door4x4, "4 processes of 4 goroutines each", []int{4, 4, 4, 4}},
		{report.Door1x64, "A process of one goroutine beside one of 64", []int{1, 64}},
	} {
		one := betweenProcesses(d.name, fmt.Sprintf(about, d.who), plan, d.goroutines...)
		one.fits = func(p peer.Peer) bool {
			return p.Processes && usual(p) && (p.Backend == peer.Files || p.Name == peer.FifolockRedis || p.Name == peer.EarlierRedis)
		}
		one.run = runDoor
		cases = append(cases, one)
	}
	return cases
}

func runDoor(ctx context.Context, c *comparison, one testCase, p peer.Peer) (map[string]float64, error) {
	r, cpu, err := contend(ctx, c, one, p)
	if err != nil {
		return nil, err
	}
	f, err := runFigures(c, one, p, r, cpu)
	if err != nil {
		return nil, err
	}
	lone := -1
	if one.processes[0] != one.processes[len(one.processes)-1] {
		lone = 0
	}
	r.AddDoor(f, lone)
	return f, nil
}

// holders is how many hold a semaphore at once.
const holders = 8

// semaphore is goroutines of one process of which some hold at once.
func semaphore(plan load.Plan) testCase {
	plan.Holders = holders
	one := contended(report.Semaphore, aboutSemaphore("64 goroutines of one process"), 64, plan)
	one.fits = func(p peer.Peer) bool { return p.Semaphore }
	return one
}

func semaphoreBetweenProcesses(plan load.Plan) testCase {
	plan.Holders = holders
	one := betweenProcesses(report.SemaphoreProcesses, aboutSemaphore("4 processes of 16 goroutines each"), plan, 16, 16, 16, 16)
	one.fits = func(p peer.Peer) bool { return p.Semaphore && p.Processes }
	return one
}

func aboutSemaphore(who string) string {
	return fmt.Sprintf("%s that want a semaphore of %d, sleep for 5 ms with it, and release it. The ideal is %.0f acquisitions/s. A peer that has no semaphore has %d locks that are tried one after the other, and again after its pause.",
		who, holders, holders/held.Seconds(), holders)
}
