//go:build linux

package server

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
)

// startRing starts two shards, and returns a queue in them and which of them has
// it.
func startRing(t *testing.T, lease time.Duration) (spec harness.Spec, shards []*redistest.Server, home int) {
	t.Helper()
	var addrs []string
	names := make(map[string]string) // as the harness gives them
	for i := range 2 {
		shards = append(shards, redistest.StartServer(t))
		addrs = append(addrs, shards[i].Addr)
		names[strconv.Itoa(i)] = shards[i].Addr
	}
	spec = harness.Ring(addrs, "ring", lease)
	ring := redis.NewRing(&redis.RingOptions{Addrs: names})
	defer ring.Close()
	client, err := ring.GetShardClientForKey("{" + spec.Name + "}:queue")
	if err != nil {
		t.Fatal(err)
	}
	for i, shard := range shards {
		if client.Options().Addr == shard.Addr {
			home = i
		}
	}
	return spec, shards, home
}

// The shard of the queue fails, and all clients see it. They go on in the other shard,
// and go back when the first is there again. A holder in the shard that they leave has
// lost the lock, and tokens ascend.
func TestR28RingShardFails(t *testing.T) {
	t.Parallel()
	spec, shards, home := startRing(t, faulttest.LongLease)
	l := faulttest.NewLine(t, spec, 3)
	l.Workers[0].Write()
	shards[home].Kill()
	faulttest.WantLost(t, l.Workers[0])
	l.Drain(t, 1)
	short := spec
	short.Stale = time.Second // what is left in the other shard has to run out
	late := l.Start(harness.With(short))
	insist(late)
	shards[home].Start()
	faulttest.WantLost(t, late)
	newcomer := l.Start() // it has never seen the shard down
	newcomer.Lock().Granted()
	newcomer.Write()
	newcomer.MustUnlock()
	if v := l.Check(); v.Stale != 0 {
		t.Errorf("%v; want that tokens ascend from one shard to the other", v)
	}
	l.CheckNothingIsLeft()
}

// insist has a worker call Lock until it is granted: its client may not know yet
// that the shard is down.
func insist(w *harness.Process) {
	for {
		mark := w.Mark()
		w.Lock()
		e := w.Await(mark, "an end", func(e harness.Event) bool {
			return e.Kind == harness.Granted || e.Kind == harness.Cancelled
		})
		if e.Kind == harness.Granted {
			return
		}
	}
}

// What is not promised: two clients of a Ring that do not see the same shards own
// the lock both, in two shards, and no lease ends that. The resource accepts only
// what comes from the later of the two. When both see the same again, the one in
// the wrong shard loses the lock.
func TestR28RingHasTwoOwners(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, time.Second, func(lease time.Duration) (kept bool) { return ringHasTwoOwners(t, lease) })
}

// ringHasTwoOwners reports false if one of them has lost the lock. If no lease is long
// enough, say so in the documentation of queue.Redis.
func ringHasTwoOwners(t *testing.T, lease time.Duration) (kept bool) {
	spec, shards, home := startRing(t, lease)
	network := redistest.NewProxy(t, shards[home].Addr)
	there := spec
	there.Shards = slices.Clone(spec.Shards)
	there.Shards[home] = network.Addr
	there.Timeout, there.MaxRetries = 200*time.Millisecond, -1 // or it takes long to find out
	h := harness.New(t, spec)
	h.Tolerant = true
	a, b := h.Start(), h.Start(harness.With(there))
	first := a.Lock().Granted()
	a.Write()
	call := b.StandInLine()
	if !call.IsBlockedFor(faulttest.Moment) {
		return false
	}
	heal := network.BlackHole()
	defer heal()
	second := call.Granted()
	if e := b.Write(); e.Stale || second.Ticket <= first.Ticket {
		t.Errorf("the resource has refused token %d after %d", second.Ticket, first.Ticket)
	}
	time.Sleep(3 * lease) // no lease ends it
	if h.Count(harness.Lost) > 0 {
		return false
	}
	if e := a.Write(); !e.Stale {
		t.Error("the resource has accepted a write of the earlier of two owners")
	}
	heal()
	faulttest.WantLost(t, b)
	if !faulttest.Unlocked(t, a) {
		return false
	}
	h.CheckNothingIsLeft() // h.Check would find what this test has made happen
	return true
}
