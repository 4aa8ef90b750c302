package report

import (
	"fmt"
	"math"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// Names of cases that aims and pictures are made of.
const (
	InTurn           = "uncontended-in-turn"
	Alone            = "uncontended"
	Goroutines64     = "goroutines-64"
	Goroutines16Held = "goroutines-16-held-5ms"
	Processes        = "processes-4x4"
	ProcessesHeld    = "processes-4x4-held-5ms"
	Line10           = "line-10"
	Line1000         = "line-1000"
	Line10000        = "line-10000"
	Recovery         = "recovery"
	Idle             = "idle-16"
	ManyLocks        = "locks-10000"
)

// aim is a figure that fifolock is meant to reach.
type aim struct {
	what     string
	got      float64
	operator string // "≤" or "≥"
	limit    float64
	write    func(float64) string
}

// met reports whether the aim is reached; of what was not measured nothing can
// be said.
func (a aim) met() string {
	switch {
	case math.IsNaN(a.got):
		return "not measured"
	case a.operator == "≤" && a.got <= a.limit, a.operator == "≥" && a.got >= a.limit:
		return "yes"
	}
	return "**no**"
}

func (a aim) row() []string {
	return []string{a.what, a.write(a.got), fmt.Sprintf("%s %s", a.operator, a.write(a.limit)), a.met()}
}

// aims are the figures to reach. Most are ratios of what was measured in the
// same run.
func (r *Results) aims() []aim {
	return append(r.redisAims(), append(r.fileAims(), r.commonAims()...)...)
}

func (r *Results) redisAims() []aim {
	ours := peer.FifolockRedis
	// A smaller ratio is that to a faster peer.
	faster := leastOf(
		r.Ratio(Goroutines64, "acquisitions_per_s", ours, peer.Redislock1ms),
		r.Ratio(Goroutines64, "acquisitions_per_s", ours, peer.Rueidislock),
	)
	return []aim{
		{"Redis, uncontended cycle p50, to a bare `SET NX` + `DEL`, taking turns with it", r.Ratio(InTurn, "cycle_p50_us", ours, peer.SetNX), "≤", 1.15, times},
		{"… each in a loop of its own", r.Ratio(Alone, "cycle_p50_us", ours, peer.SetNX), "≤", 1.15, times},
		{"Redis, hand-off p50, 16 waiters, 5 ms held, to redislock polling every 1 ms", r.Ratio(Goroutines16Held, "hand_off_p50_us", ours, peer.Redislock1ms), "≤", 1.1, times},
		{"… of hand-offs to those who had waited", r.Ratio(Goroutines16Held, "hand_off_to_waiter_p50_us", ours, peer.Redislock1ms), "≤", 1.1, times},
		{"… overtakes", r.Value(Goroutines16Held, ours, "overtaking_grants"), "≤", 0, number},
		{"… round trips per acquisition", r.Value(Goroutines16Held, ours, "operations_per_acquisition"), "≤", 4, number},
		{"… server CPU per acquisition, to redislock polling every 1 ms", r.Ratio(Goroutines16Held, "server_cpu_us_per_acquisition", ours, peer.Redislock1ms), "≤", 0.3, times},
		{"Redis, 64 goroutines, empty section, acquisitions/s, to the faster of rueidislock and redislock polling every 1 ms", faster, "≥", 1.3, times},
		{"… to redislock polling every 50 ms, whose waiters sleep while one goes on", r.Ratio(Goroutines64, "acquisitions_per_s", ours, peer.Redislock50ms), "≥", 1.3, times},
		{"… to etcd", r.Ratio(Goroutines64, "acquisitions_per_s", ours, peer.EtcdMutex), "≥", 10, times},
		{"… wait p99, to its own p50", r.Value(Goroutines64, ours, "wait_p99_us") / r.Value(Goroutines64, ours, "wait_p50_us"), "≤", 1.5, times},
	}
}

func (r *Results) fileAims() []aim {
	ours := peer.FifolockFile
	return []aim{
		{"file, uncontended cycle p50, queue in use", r.Value(Alone, peer.FifolockFileInUse, "cycle_p50_us"), "≤", 30, duration},
		{"file, uncontended cycle p50, everything removed after it", r.Value(Alone, ours, "cycle_p50_us"), "≤", 75, duration},
		{"file, hand-off p50, 16 waiters, 5 ms held, to blocking `flock(2)`, in one process", r.Ratio(Goroutines16Held, "hand_off_p50_us", ours, peer.Flock), "≤", 3, times},
		{"… of hand-offs to those who had waited", r.Ratio(Goroutines16Held, "hand_off_to_waiter_p50_us", ours, peer.Flock), "≤", 3, times},
		{"… overtakes", r.Value(Goroutines16Held, ours, "overtaking_grants"), "≤", 0, number},
		{"… share of the time in which the lock was held, in percent", r.Value(Goroutines16Held, ours, "held_percent"), "≥", 98, number},
		{"file, hand-off p50, 4 × 4 waiters, 5 ms held, to blocking `flock(2)`, between processes", r.Ratio(ProcessesHeld, "hand_off_p50_us", ours, peer.Flock), "≤", 8, times},
		{"… of hand-offs to those who had waited", r.Ratio(ProcessesHeld, "hand_off_to_waiter_p50_us", ours, peer.Flock), "≤", 8, times},
		{"… overtakes", r.Value(ProcessesHeld, ours, "overtaking_grants"), "≤", 0, number},
		{"file, 64 goroutines, empty section, acquisitions/s", r.Value(Goroutines64, ours, "acquisitions_per_s"), "≥", 14000, number},
		{"… wait p99, to its own p50", r.Value(Goroutines64, ours, "wait_p99_us") / r.Value(Goroutines64, ours, "wait_p50_us"), "≤", 2, times},
		{"file, `kill -9` of the holder to the next one's Lock, p99", r.Value(Recovery, ours, "recovery_p99_us"), "≤", 50000, duration},
	}
}

func (r *Results) commonAims() []aim {
	var aims []aim
	for _, ours := range []struct{ name, peer string }{{"Redis", peer.FifolockRedis}, {"file", peer.FifolockFile}} {
		growth := r.Value(Line1000, ours.peer, "hand_off_p50_us") / r.Value(Line10, ours.peer, "hand_off_p50_us")
		aims = append(aims,
			aim{ours.name + ", hand-off p50 with 1,000 waiters, to 10", growth, "≤", 2, times},
			aim{ours.name + ", 10,000 waiters, served without error", r.Value(Line10000, ours.peer, "served"), "≥", 10000, number},
			aim{ours.name + ", 10,000 waiters, overtakes", r.Value(Line10000, ours.peer, "overtaking_grants"), "≤", 0, number},
			aim{ours.name + ", idle wait, 16 waiters, backend operations per waiter and second", r.Value(Idle, ours.peer, "operations_per_waiter_and_s"), "≤", 4, number},
		)
	}
	return aims
}

// leastOf returns the least of two values, of which one may be missing.
func leastOf(a, b float64) float64 {
	if math.IsNaN(a) || b < a {
		return b
	}
	return a
}
