package load

import (
	"slices"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
)

// betweenProcesses is how far the clocks of samples from different processes
// may be apart: how well they were read when the process began.
const betweenProcesses = 100 * time.Microsecond

// Check returns an error if more held at once than may.
func (r Run) Check() error {
	return figures.CheckExclusion(r.Samples, max(r.Plan.Holders, 1), betweenProcesses)
}

// Measured is the samples of the locks got while it was measured, without
// those at the end, when fewer and fewer waited.
func (r Run) Measured() []figures.Sample {
	n := len(r.Samples)
	for n > 0 && r.Samples[n-1].Acquired > r.To {
		n--
	}
	return r.Samples[:n]
}

// Waits is how long each call of Lock took. A call that was given up counts with the
// time until then, which is the least that it would have taken.
func (r Run) Waits() figures.Durations {
	return figures.NewDurations(append(figures.Waits(r.Samples), r.GivenUp...))
}

// Figures are the figures of a run. Times are in microseconds. A waiter that
// waited when the time was up, and got the lock later, counts among the waits and
// the overtakes: a lock that starves a waiter must not look better for it.
func (r Run) Figures() map[string]float64 {
	measured := r.Measured()
	f := map[string]float64{
		"acquisitions_per_s": float64(len(measured)) / (float64(r.To-r.From) / 1e9),
		"cycle_p50_us":       micros(figures.Cycles(measured).Median()),
		"held_percent":       100 * r.heldShare(measured),
		"unserved":           float64(r.Unserved),
	}
	if r.Grants > 0 {
		f["operations_per_acquisition"] = float64(r.Operations) / float64(r.Grants)
		f["client_cpu_us_per_acquisition"] = micros(r.ClientCPU) / float64(r.Grants)
	}
	addPercentiles(f, "wait", r.Waits())
	if r.Waiters < 2 {
		return f
	}
	if len(measured) >= figures.ForJain*r.Waiters {
		f["jain"] = figures.Jain(figures.Shares(measured, r.Waiters))
	}
	if r.Plan.Holders > 1 {
		r.addSemaphore(f)
		return f
	}
	addHandOffs(f, measured)
	addOvertakes(f, r.Samples, figures.CountOvertakes(r.Samples))
	return f
}

// addSemaphore adds what is said of a semaphore alone.
func (r Run) addSemaphore(f map[string]float64) {
	ideal := float64(r.Plan.Holders) / r.Plan.Held.Seconds()
	f["ideal_percent"] = 100 * f["acquisitions_per_s"] / ideal
	f["holders_max_at_once"] = float64(figures.MostHolders(r.Samples, betweenProcesses))
	f["held_percent"] /= float64(r.Plan.Holders)
	addOvertakes(f, r.Samples, figures.CountOvertakesOfMany(r.Samples, r.Plan.Holders))
}

// AddDoor adds figures of the way into the line: overtakes are counted from the
// call of Lock. lone is the waiter that is alone in its process, or -1.
func (r Run) AddDoor(f map[string]float64, lone int) {
	if len(r.Samples) == 0 {
		return
	}
	o := figures.CountOvertakesFromCall(r.Samples)
	f["overtook_a_call_percent"] = 100 * float64(o.Grants) / float64(len(r.Samples))
	by := figures.OvertakenByFromCall(r.Samples)
	slices.Sort(by)
	if len(by) >= figures.ForP99 {
		f["call_overtaken_p99_times"] = float64(by[len(by)*99/100])
	}
	f["call_overtaken_max_times"] = float64(by[len(by)-1])
	if lone < 0 {
		return
	}
	others := func(s figures.Sample) bool { return s.Waiter != lone }
	f["lone_wait_max_us"] = micros(figures.Waits(slices.DeleteFunc(slices.Clone(r.Samples), others)).Max())
	measured := slices.DeleteFunc(slices.Clone(r.Measured()), others)
	f["lone_per_s"] = float64(len(measured)) / (float64(r.To-r.From) / 1e9)
}

// heldShare is the share of the time in which the lock was held.
func (r Run) heldShare(measured []figures.Sample) float64 {
	var held int64
	for _, s := range measured {
		held += min(s.Unlocking, r.To) - s.Acquired
	}
	return float64(held) / float64(r.To-r.From)
}

func addPercentiles(f map[string]float64, name string, d figures.Durations) {
	f[name+"_p50_us"] = micros(d.Median())
	if len(d) >= figures.ForP99 {
		f[name+"_p99_us"] = micros(d.Percentile(99))
	}
	f[name+"_max_us"] = micros(d.Max())
}

// addHandOffs adds all hand-offs, and those to a waiter that had waited, if there
// are any.
func addHandOffs(f map[string]float64, samples []figures.Sample) {
	all, waited := figures.HandOffs(samples)
	addPercentiles(f, "hand_off", all)
	if len(waited) > 0 {
		addPercentiles(f, "hand_off_to_waiter", waited)
	}
}

func addOvertakes(f map[string]float64, samples []figures.Sample, o figures.Overtakes) {
	f["overtaken_pairs"] = float64(o.Pairs)
	f["overtaking_grants"] = float64(o.Grants)
	if len(samples) > 0 {
		f["overtaking_percent"] = 100 * float64(o.Grants) / float64(len(samples))
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
