package report

import (
	"math"
	"strings"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// waitersOf is how many contended in the cases of format 0.
var waitersOf = map[string]int{
	"goroutines-8": 8, Goroutines64: 64, "goroutines-512": 512, Goroutines16Held: 16,
	Processes: 16, Processes16: 64, ProcessesHeld: 16,
	Door2x1: 2, Door2x8: 16, Door4x4: 16, Door1x64: 65, Semaphore: 64, SemaphoreProcesses: 64,
}

// mend takes from results of format 0 the figures that later ones do not have: those that
// were measured wrongly, or of too little. raw.json stays as it was. It can go when the
// results that are kept are of a later format.
func (r *Results) mend() {
	if r.Facts.Format >= format {
		return
	}
	r.Facts.Virtual = r.Facts.Virtual || strings.Contains(r.Facts.Kernel, "-fc-") // a kernel for Firecracker
	for i, c := range r.Cases {
		r.Cases[i].About = strings.Replace(c.About, "Threads, descriptors", "Descriptors", 1)
	}
	for _, record := range r.Records {
		record.mend(r.Facts.Quick)
		if !strings.HasPrefix(record.Case, "processes-") || record.Peer != peer.PostgresAdvisory {
			continue
		}
		delete(record.Figures, "server_cpu_us_per_acquisition")
		const why = "server CPU of PostgreSQL between processes: its own processes had ended when it was read"
		if len(r.LeftOut) == 0 || r.LeftOut[len(r.LeftOut)-1] != why {
			r.LeftOut = append(r.LeftOut, why)
		}
	}
}

// mend leaves out what is of too few samples, as package load does now.
func (r Record) mend(quick bool) {
	f := r.Figures
	if slowest, ok := f["recovery_p99_us"]; ok { // of 20 at most
		f["recovery_max_us"] = slowest
		delete(f, "recovery_p99_us")
	}
	if n, ok := f["served"]; ok {
		if n < figures.ForP99 {
			delete(f, "hand_off_p99_us")
			delete(f, "hand_off_to_waiter_p99_us")
		}
		if n < 1000 {
			delete(f, "memory_bytes_per_waiter")
		}
	}
	delete(f, "served")
	delete(f, "threads_added")
	if waiters := waitersOf[r.Case]; waiters > 0 {
		r.mendContended(waiters, quick)
	}
}

func (r Record) mendContended(waiters int, quick bool) {
	f := r.Figures
	_, measure := EmptyRun(quick)
	if strings.Contains(r.Case, "held") || strings.HasPrefix(r.Case, "semaphore") {
		_, measure = HeldRun(quick)
	}
	n := math.Round(f["acquisitions_per_s"] * measure.Seconds())
	if n < float64(figures.ForJain*waiters) {
		delete(f, "jain")
	}
	if n-1 < figures.ForP99 {
		delete(f, "hand_off_p99_us")
		delete(f, "hand_off_to_waiter_p99_us")
	}
	// Where some hand-offs were to a waiter and some were not, it was not kept how many.
	some := f["hand_off_to_waiter_p50_us"] != f["hand_off_p50_us"] || f["hand_off_to_waiter_p99_us"] != f["hand_off_p99_us"]
	if some && n < 10*figures.ForP99 {
		delete(f, "hand_off_to_waiter_p99_us")
	}
}
