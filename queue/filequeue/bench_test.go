package filequeue_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// benchmarkDir is on a tmpfs where there is one: what is measured is the
// queue, not the disk.
func benchmarkDir(b *testing.B) string {
	dir, err := os.MkdirTemp("/dev/shm", "fifolock")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// BenchmarkFileUncontended measures one Register and the Release after it:
// while another ticket keeps the queue in use, and with every artifact created
// and removed.
func BenchmarkFileUncontended(b *testing.B) {
	for _, inUse := range []bool{true, false} {
		name := map[bool]string{true: "queue=in-use", false: "queue=removed"}[inUse]
		b.Run(name, func(b *testing.B) {
			ctx := context.Background()
			q := filequeue.New(benchmarkDir(b) + "/queue")
			if inUse {
				other, err := q.Register(ctx)
				if err != nil {
					b.Fatal(err)
				}
				defer q.Release(ctx, other)
			}
			for b.Loop() {
				t, err := q.Register(ctx)
				if err != nil {
					b.Fatal(err)
				}
				if err := q.Release(ctx, t); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFileChain measures a section of nothing, entered by 64 goroutines
// one after the other, and the time from a Release to the next one's turn.
func BenchmarkFileChain(b *testing.B) {
	ctx := context.Background()
	q := filequeue.New(benchmarkDir(b) + "/queue")
	var (
		wg       sync.WaitGroup
		released time.Time // guarded by the queue
		handoffs []time.Duration
		left     = b.N
	)
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for {
				t, err := q.Register(ctx)
				if err != nil {
					b.Error(err)
					return
				}
				await(b, q, t)
				if !released.IsZero() {
					handoffs = append(handoffs, time.Since(released))
				}
				left--
				done := left < 0
				released = time.Now()
				if err := q.Release(ctx, t); err != nil {
					b.Error(err)
				}
				if done {
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(handoffs)
	b.ReportMetric(float64(handoffs[len(handoffs)/2].Nanoseconds()), "p50-ns/hand-off")
	b.ReportMetric(float64(handoffs[len(handoffs)*99/100].Nanoseconds()), "p99-ns/hand-off")
}

// await returns when it is the ticket's turn.
func await(t testing.TB, q *filequeue.Queue, ticket queue.Ticket) {
	ctx := context.Background()
	if ticket.Ahead == 0 {
		return
	}
	wake, stop, err := q.Watch(ctx, ticket)
	if err != nil {
		t.Errorf("Watch: %v", err)
	}
	defer stop()
	ahead := ticket.Ahead
	for {
		poll := 25 * time.Millisecond
		if ahead > 1 {
			poll = 250 * time.Millisecond
		}
		select {
		case <-wake:
		case <-time.After(poll):
		}
		place, err := q.Position(ctx, ticket)
		ahead = place.Ahead
		if err != nil {
			t.Errorf("Position: %v", err)
			return
		}
		if ahead == 0 {
			return
		}
	}
}
