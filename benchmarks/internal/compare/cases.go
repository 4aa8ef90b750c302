package compare

import (
	"context"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

const (
	held = 5 * time.Millisecond

	// mostSamples bounds the memory for the samples of a lock in memory.
	mostSamples = 500_000
)

// testCase is one thing that is measured with every peer that it fits.
type testCase struct {
	report.Case
	fits   func(peer.Peer) bool
	atMost int // repetitions; 0: as many as are asked for
	run    func(context.Context, *comparison, testCase, peer.Peer) (map[string]float64, error)

	// together, instead of run, is for cases that have all peers of a backend
	// at once. It returns the figures in the order of the peers.
	together func(context.Context, *comparison, testCase, []peer.Peer) ([]map[string]float64, error)

	plan      load.Plan     // of cases in which waiters contend
	processes []int         // goroutines of each process, where there are some
	count     int           // waiters, deaths, locks
	time      time.Duration // of cases in which nothing happens
}

// lengths are how long things are measured.
type lengths struct {
	empty  load.Plan // sections of nothing
	slow   load.Plan // sections of 5 ms
	inTurn time.Duration
	idle   time.Duration
}

// lengthsOf are those of a full run or of a quick one.
func lengthsOf(quick bool) lengths {
	l := lengths{inTurn: 3 * time.Second, idle: 10 * time.Second}
	if quick {
		l = lengths{inTurn: 600 * time.Millisecond, idle: time.Second}
	}
	l.empty.AtMost, l.slow.AtMost, l.slow.Held = mostSamples, mostSamples, held
	l.empty.WarmUp, l.empty.Measure = report.EmptyRun(quick)
	l.slow.WarmUp, l.slow.Measure = report.HeldRun(quick)
	return l
}

// allCases returns the cases, in the order in which they run.
func allCases(quick bool) []testCase {
	l := lengthsOf(quick)
	cases := []testCase{inTurn(l.inTurn), alone(l.empty)}
	for _, n := range []int{8, 64, 512} {
		cases = append(cases, contended(fmt.Sprintf("goroutines-%d", n), fmt.Sprintf("%d goroutines of one process that lock, do nothing, and unlock.", n), n, l.empty))
	}
	slow := contended(report.Goroutines16Held, "16 goroutines of one process that lock, sleep for 5 ms, and unlock.", 16, l.slow)
	slow.fits = func(p peer.Peer) bool { return usual(p) || p.DetectsCrashes }
	cases = append(cases, slow)
	cases = append(cases, betweenProcesses(report.Processes, "4 processes of 4 goroutines each that lock, do nothing, and unlock.", l.empty, 4, 4, 4, 4))
	cases = append(cases, betweenProcesses(report.Processes16, "4 processes of 16 goroutines each that lock, do nothing, and unlock.", l.empty, 16, 16, 16, 16))
	cases = append(cases, betweenProcesses(report.ProcessesHeld, "4 processes of 4 goroutines each that lock, sleep for 5 ms, and unlock.", l.slow, 4, 4, 4, 4))
	cases = append(cases, doors(l.empty)...)
	cases = append(cases, semaphore(l.slow), semaphoreBetweenProcesses(l.slow))
	for _, n := range []int{10, 100, 1000, 10000} {
		cases = append(cases, line(n))
	}
	cases = append(cases, recovery(), recoveryWithDefaults(), idle(l.idle), idleLocks(l.idle), manyLocks(), programs())
	return cases
}

// usual reports whether a peer takes part in a case of waiters that does not
// name it.
func usual(p peer.Peer) bool { return !p.AloneOnly && !p.Named }

func hasServer(p peer.Peer) bool { return p.Backend != peer.Files && p.Backend != peer.Memory }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
