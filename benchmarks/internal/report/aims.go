package report

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// aim is a figure that fifolock is meant to reach.
type aim struct {
	what     string
	got      measured
	operator string // "≤" or "≥"
	limit    float64
	write    func(float64) string
}

// The words for whether an aim is reached. Of what was not measured nothing can
// be said.
const (
	reached     = "yes"
	missed      = "**no**"
	notMeasured = "not measured"
)

func (a aim) met() string {
	switch {
	case a.got.failed:
		return missed
	case math.IsNaN(a.got.value):
		return notMeasured
	case a.operator == "≤" && a.got.value <= a.limit, a.operator == "≥" && a.got.value >= a.limit:
		return reached
	}
	return missed
}

func (a aim) row() []string {
	return []string{a.what, a.write(a.got.value), a.spread(), fmt.Sprintf("%s %s", a.operator, a.write(a.limit)), a.met()}
}

// spread is the lowest and the highest of the repetitions.
func (a aim) spread() string {
	if len(a.got.of) < 2 {
		return "–"
	}
	return a.write(slices.Min(a.got.of)) + " to " + a.write(slices.Max(a.got.of))
}

// measured is a figure of an aim.
type measured struct {
	value  float64
	of     []float64 // each repetition's, where value is their median
	failed bool      // fifolock has failed in a repetition, so that the aim is missed whatever value is
}

// figure is a figure of fifolock.
func (r *Results) figure(caseName, peer, figure string) measured {
	m := measured{value: r.Value(caseName, peer, figure), failed: r.failed(caseName, peer)}
	if !math.IsNaN(m.value) && !isTotal(figure) {
		m.of = slices.Collect(maps.Values(r.values(caseName, peer, figure)))
	}
	return m
}

// ratio is a figure of fifolock over that of another.
func (r *Results) ratio(caseName, figure, peer, other string) measured {
	return median(quotients(r.values(caseName, peer, figure), r.values(caseName, other, figure)), r.failed(caseName, peer))
}

// p99ToP50 is the 99th percentile of fifolock's waits over their median.
func (r *Results) p99ToP50(caseName, peer string) measured {
	return median(quotients(r.values(caseName, peer, "wait_p99_us"), r.values(caseName, peer, "wait_p50_us")), r.failed(caseName, peer))
}

func median(of []float64, failed bool) measured {
	return measured{value: figures.Median(of), of: of, failed: failed}
}

// sumUp says how many of the aims are reached.
func sumUp(aims []aim) string {
	count := make(map[string]int)
	for _, a := range aims {
		count[a.met()]++
	}
	words := fmt.Sprintf("%d of %d are reached, %d are missed", count[reached], len(aims), count[missed])
	if n := count[notMeasured]; n > 0 {
		words += fmt.Sprintf(", %d were not measured", n)
	}
	return words + "."
}

// aims are the figures to reach. Most are ratios of what was measured in the
// same run.
func (r *Results) aims() (all []aim) {
	for _, some := range [][]aim{r.redisAims(), r.semaphoreAims(), r.fileAims(), r.doorAims(), r.lineAims()} {
		all = append(all, some...)
	}
	return all
}

func (r *Results) redisAims() []aim {
	ours, polling := peer.FifolockRedis, peer.Redislock1ms
	fastest := r.fastest(Goroutines64, onServer)
	return []aim{
		{"Redis, uncontended Lock and Unlock p50, to a bare `SET NX` and `DEL`, each in a loop of its own", r.ratio(Alone, "cycle_p50_us", ours, peer.SetNX), "≤", 1.15, times},
		{"Redis, hand-off p50, 16 waiters of one process, 5 ms held, to redislock polling every 1 ms", r.ratio(Goroutines16Held, "hand_off_p50_us", ours, polling), "≤", 0.6, times},
		{"… overtakes", r.figure(Goroutines16Held, ours, "overtaking_grants"), "≤", 0, number},
		{"… server CPU per acquisition, to redislock polling every 50 ms", r.ratio(Goroutines16Held, "server_cpu_us_per_acquisition", ours, peer.Redislock50ms), "≤", 0.3, times},
		{"Redis, hand-off p50 between processes, 4 × 4, 5 ms held, to redislock polling every 1 ms", r.ratio(ProcessesHeld, "hand_off_p50_us", ours, polling), "≤", 1.2, times},
		{"… overtakes", r.figure(ProcessesHeld, ours, "overtaking_grants"), "≤", 0, number},
		{"Redis, 64 goroutines, empty section, acquisitions/s, to the fastest of all peers on a server" + named(fastest), r.ratio(Goroutines64, "acquisitions_per_s", ours, fastest.Name), "≥", 3, times},
		{"… wait p99, to its own p50", r.p99ToP50(Goroutines64, ours), "≤", 2, times},
		{"… in 4 processes × 16, to fifolock as it was" + r.Facts.earlier(), r.ratio(Processes16, "acquisitions_per_s", ours, peer.EarlierRedis), "≥", 1.5, times},
		{"Redis, 200 locks, each held, one waiter each, idle: requests per lock and second", r.figure(IdleLocks, ours, "operations_per_waiter_and_s"), "≤", 2, number},
		{"… server CPU, to redislock polling every 50 ms", r.ratio(IdleLocks, "server_cpu_us_per_waiter_and_s", ours, peer.Redislock50ms), "≤", 0.5, times},
		{"Redis, `kill -9` of the holder to the next one's Lock, default lease, crash detection of 1 s, the longest", r.figure(RecoveryDefault, peer.FifolockRedisCrash, "recovery_max_us"), "≤", 1.5e6, duration},
	}
}

func (r *Results) semaphoreAims() (aims []aim) {
	for _, ours := range both {
		aims = append(aims,
			aim{ours.name + ", semaphore of 8, 64 goroutines holding 5 ms, percent of the ideal rate", r.figure(Semaphore, ours.peer, "ideal_percent"), "≥", 90, number},
			aim{"… overtakes", r.figure(Semaphore, ours.peer, "overtaking_grants"), "≤", 0, number},
		)
	}
	return aims
}

func (r *Results) fileAims() []aim {
	ours := peer.FifolockFile
	return []aim{
		{"file, `Register` and `Release` of the queue alone, p50, while another ticket keeps it in use", r.figure(Alone, peer.FifolockFileInUse, "cycle_p50_us"), "≤", 25, duration},
		{"file, uncontended Lock and Unlock p50, everything removed after it", r.figure(Alone, ours, "cycle_p50_us"), "≤", 60, duration},
		{"file, hand-off p50, 16 waiters of one process, 5 ms held, to a blocking `flock(2)`", r.ratio(Goroutines16Held, "hand_off_p50_us", ours, peer.Flock), "≤", 3, times},
		{"… overtakes", r.figure(Goroutines16Held, ours, "overtaking_grants"), "≤", 0, number},
		{"… percent of the time in which it was held, which is that of the ideal rate", r.figure(Goroutines16Held, ours, "held_percent"), "≥", 98, number},
		{"file, hand-off p50 between processes, 4 × 4, 5 ms held, to a blocking `flock(2)`", r.ratio(ProcessesHeld, "hand_off_p50_us", ours, peer.Flock), "≤", 8, times},
		{"… overtakes", r.figure(ProcessesHeld, ours, "overtaking_grants"), "≤", 0, number},
		{"file, 64 goroutines, empty section, acquisitions/s", r.figure(Goroutines64, ours, "acquisitions_per_s"), "≥", 25000, number},
		{"… wait p99, to its own p50", r.p99ToP50(Goroutines64, ours), "≤", 2, times},
		{"file, `kill -9` of the holder to the next one's Lock, the longest", r.figure(Recovery, ours, "recovery_max_us"), "≤", 50000, duration},
		{"a program with a file lock, packages", r.figure(Program, ours, "packages"), "≤", 135, number},
		{"… of go-redis", r.figure(Program, ours, "with_go_redis"), "≤", 0, number},
	}
}

// doorAims are about the way into the line: one call is overtaken by no more
// calls than there are goroutines, times two.
func (r *Results) doorAims() (aims []aim) {
	for _, ours := range both {
		for _, door := range []struct {
			name, what string
			goroutines float64
		}{
			{Door2x1, "2 processes × 1", 2}, {Door2x8, "2 × 8", 16}, {Door4x4, "4 × 4", 16}, {Door1x64, "1 beside 64", 65},
		} {
			what := "… " + door.what
			if door.name == Door2x1 {
				what = ours.name + ", one call overtaken from its call on, at most, " + door.what
			}
			aims = append(aims, aim{what, r.figure(door.name, ours.peer, "call_overtaken_max_times"), "≤", 2 * door.goroutines, number})
		}
	}
	return aims
}

func (r *Results) lineAims() (aims []aim) {
	for _, ours := range both {
		const handOff = "hand_off_p50_us"
		growth := median(quotients(r.values(Line1000, ours.peer, handOff), r.values(Line10, ours.peer, handOff)), r.failed(Line10, ours.peer) || r.failed(Line1000, ours.peer))
		aims = append(aims,
			aim{ours.name + ", hand-off p50 with 1,000 waiters, to 10", growth, "≤", 2, times},
			aim{ours.name + ", 10,000 waiters, overtakes", r.figure(Line10000, ours.peer, "overtaking_grants"), "≤", 0, number},
		)
		if ours.peer == peer.FifolockRedis {
			pool := float64(10*r.Facts.Cores + 1) // of go-redis, and one for wake-ups
			aims = append(aims, aim{"… connections", r.figure(Line10000, ours.peer, "connections"), "≤", pool, number})
		}
	}
	return aims
}

// both are fifolock with a server and without.
var both = []struct{ name, peer string }{{"Redis", peer.FifolockRedis}, {"file", peer.FifolockFile}}

// onServer and inFiles are where the state of a lock is.
func onServer(p peer.Peer) bool { return !inFiles(p) && p.Backend != peer.Memory }
func inFiles(p peer.Peer) bool  { return p.Backend == peer.Files }

// fastest is the peer, of those of a kind, that has got its lock most often. It
// has no name if there is none.
func (r *Results) fastest(caseName string, kind func(peer.Peer) bool) (fastest peer.Peer) {
	most := 0.0
	for _, p := range peer.All() {
		if v := r.Value(caseName, p.Name, "acquisitions_per_s"); kind(p) && !p.Limit && p.IsOther() && v > most {
			fastest, most = p, v
		}
	}
	return fastest
}

func named(p peer.Peer) string {
	if p.Name == "" {
		return ""
	}
	return " (" + p.Title + ")"
}
