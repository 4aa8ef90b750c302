package benchmarks

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/server"
)

// names makes the name of every lock a new one.
var names int

func TestMain(m *testing.M) {
	load.BeWorker()
	os.Exit(m.Run())
}

// BenchmarkUncontended measures a Lock and Unlock of one goroutine that is alone.
func BenchmarkUncontended(b *testing.B) {
	forEachPeer(b, func(p peer.Peer) bool { return !p.Named && p.Earlier == "" }, func(b *testing.B, p peer.Peer, site peer.Site) {
		contend(b, p, site, load.Plan{Waiters: 1})
	})
}

// BenchmarkContended measures a Lock and Unlock while other goroutines of the
// process want the lock too. ns/op is the time from one that gets it to the next.
func BenchmarkContended(b *testing.B) {
	forEachPeer(b, contends, func(b *testing.B, p peer.Peer, site peer.Site) {
		for _, plan := range []load.Plan{{Waiters: 8}, {Waiters: 64}, {Waiters: 16, Held: 5 * time.Millisecond}} {
			b.Run(fmt.Sprintf("goroutines=%d/held=%v", plan.Waiters, plan.Held), func(b *testing.B) {
				contend(b, p, site, plan)
			})
		}
	})
}

// BenchmarkSemaphore measures an Acquire and Release while other goroutines of
// the process want a semaphore, too. ns/op is the time from one that gets it to
// the next.
func BenchmarkSemaphore(b *testing.B) {
	forEachPeer(b, func(p peer.Peer) bool { return p.Semaphore }, func(b *testing.B, p peer.Peer, site peer.Site) {
		contend(b, p, site, load.Plan{Waiters: 64, Holders: 8, Held: 5 * time.Millisecond})
	})
}

// BenchmarkLine measures the hand-off from one to the next while many wait:
// an op is that all have been served.
func BenchmarkLine(b *testing.B) {
	fifolock := func(p peer.Peer) bool {
		return p.Name == peer.FifolockRedis || p.Name == peer.FifolockFile || p.Name == peer.FifolockMemory
	}
	forEachPeer(b, fifolock, func(b *testing.B, p peer.Peer, site peer.Site) {
		for _, waiters := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("waiters=%d", waiters), func(b *testing.B) { line(b, p, site, waiters) })
		}
	})
}

// contends reports whether a peer takes part in what is contended.
func contends(p peer.Peer) bool { return !p.AloneOnly && !p.Named && p.Earlier == "" }

// forEachPeer runs a benchmark with each peer that fits, where its server can be started.
func forEachPeer(b *testing.B, fits func(peer.Peer) bool, run func(*testing.B, peer.Peer, peer.Site)) {
	var needed []peer.Backend
	for _, p := range peer.All() {
		if fits(p) {
			needed = append(needed, p.Backend)
		}
	}
	servers, err := server.Start(needed...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := servers.Stop(); err != nil {
			b.Error(err)
		}
	})
	for _, p := range peer.All() {
		if !fits(p) {
			continue
		}
		b.Run("peer="+p.Name, func(b *testing.B) {
			if !servers.Site().Has(p.Backend) {
				b.Skip(servers.Missing()[p.Backend])
			}
			run(b, p, servers.Site())
		})
	}
}

// contend gets the lock b.N times.
func contend(b *testing.B, p peer.Peer, site peer.Site, plan load.Plan) {
	lock := open(b, p, site, plan.Holders)
	plan.AtMost, plan.Measure = b.N, time.Hour
	b.ResetTimer()
	r, err := load.Contend(b.Context(), lock, plan, func() error { return nil })
	b.StopTimer()
	if err == nil {
		err = r.Check()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(r.To-r.From)/float64(len(r.Samples)), "ns/op") // without connecting
	reportPercentiles(b, "wait", r.Waits())
	if plan.Waiters > 1 && plan.Holders == 0 {
		handOffs, _ := figures.HandOffs(r.Samples)
		reportPercentiles(b, "hand-off", handOffs)
		b.ReportMetric(float64(figures.CountOvertakes(r.Samples).Grants)/float64(len(r.Samples)), "overtakes/op")
	}
	if r.Operations > 0 {
		b.ReportMetric(float64(r.Operations)/float64(r.Grants), "operations/op")
	}
}

// line serves so many waiters b.N times.
func line(b *testing.B, p peer.Peer, site peer.Site, waiters int) {
	lock := open(b, p, site, 0)
	var handOffs []time.Duration
	for range b.N {
		l, err := load.ServeLine(b.Context(), lock, waiters, func() error { return nil })
		if err != nil {
			b.Fatal(err)
		}
		served, _ := figures.HandOffs(l.Samples)
		handOffs = append(handOffs, served...)
	}
	reportPercentiles(b, "hand-off", figures.NewDurations(handOffs))
}

func open(b *testing.B, p peer.Peer, site peer.Site, holders int) *peer.Lock {
	names++
	lock, err := p.Open(b.Context(), site, peer.Options{Name: fmt.Sprintf("benchmark-%d", names), Lease: 30 * time.Second, Holders: holders})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := lock.Close(); err != nil {
			b.Error(err)
		}
	})
	return lock
}

func reportPercentiles(b *testing.B, name string, d figures.Durations) {
	b.ReportMetric(float64(d.Median()), "p50-ns/"+name)
	if len(d) >= figures.ForP99 {
		b.ReportMetric(float64(d.Percentile(99)), "p99-ns/"+name)
	}
	b.ReportMetric(float64(d.Max()), "max-ns/"+name)
}
