package redisqueue_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// BenchmarkUncontended measures one cycle of the same client on the same
// server: a bare SET NX PX and DEL, which is what the simplest lock needs, and
// Register and Release of a queue without other users. The two take turns, so
// that a busy machine troubles both alike. ratio/p50 is the one over the other.
func BenchmarkUncontended(b *testing.B) {
	redistest.NeedReal(b)
	ctx, client, name := b.Context(), redistest.Client(b), redistest.Name(b)
	q := redisqueue.New(client, name)
	bare := func() {
		if err := client.SetNX(ctx, name, "owner", 30*time.Second).Err(); err != nil {
			b.Fatal(err)
		}
		if err := client.Del(ctx, name).Err(); err != nil {
			b.Fatal(err)
		}
	}
	cycle := func() {
		t, err := q.Register(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if err := q.Release(ctx, t); err != nil {
			b.Fatal(err)
		}
	}
	bare()
	cycle()
	var bares, cycles []time.Duration
	b.ResetTimer()
	for b.Loop() {
		bares = append(bares, took(bare))
		cycles = append(cycles, took(cycle))
	}
	b.ReportMetric(float64(median(bares).Nanoseconds()), "ns/bare-p50")
	b.ReportMetric(float64(median(cycles).Nanoseconds()), "ns/cycle-p50")
	b.ReportMetric(float64(median(cycles))/float64(median(bares)), "ratio/p50")
}

func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
