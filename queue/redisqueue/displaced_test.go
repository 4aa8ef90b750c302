package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// rolledBack is a line that the server can be made to bring back.
type rolledBack struct {
	*testing.T
	client redis.UniversalClient
	name   string
	leases map[string]string // of those that were in front, by their entries
	kept   time.Time         // when they were brought back last
	late   bool              // they may have run out in between: the machine is busy
}

// forLong is the lease of those in front when they are back.
const forLong = 300 * time.Millisecond

// newRolledBack returns an owner that has followed all of those in front, as many as own,
// which have left; slots is 0 for an exclusive line.
func newRolledBack(t *testing.T, slots int) (l *rolledBack, q queue.TicketQueue, owner queue.Ticket) {
	return newRolledBackOf(t, redistest.Client(t), redistest.Name(t), slots)
}

// newRolledBackOf is newRolledBack with an owner through that client.
func newRolledBackOf(t *testing.T, client redis.UniversalClient, name string, slots int) (l *rolledBack, q queue.TicketQueue, owner queue.Ticket) {
	l = &rolledBack{T: t, client: redistest.Client(t), name: name, leases: make(map[string]string)}
	viewed := func(q *redisqueue.Queue) queue.TicketQueue {
		if slots == 0 {
			return q
		}
		return q.Share(slots)
	}
	others := viewed(redisqueue.New(redistest.Client(t), l.name, redisqueue.WithLease(time.Hour)))
	q = viewed(redisqueue.New(client, l.name, redisqueue.WithLease(time.Hour)))
	var front []queue.Ticket
	for range max(1, slots) {
		front = append(front, mustRegister(t, others))
	}
	owner = mustRegister(t, q)
	for _, ticket := range front {
		value, err := l.client.Get(t.Context(), l.lease(ticket.Member)).Result()
		if err != nil {
			t.Fatal(err)
		}
		l.leases[ticket.Member] = strings.Replace(value, " 3600000 ", fmt.Sprintf(" %d ", forLong.Milliseconds()), 1)
		mustRelease(t, others, ticket)
	}
	wantHead(t, q, owner)
	l.refresh(q, owner)
	return l, q, owner
}

// lease is the key of an entry's lease.
func (l *rolledBack) lease(entry string) string {
	return leaseKey(l.name, queue.Ticket{Member: entry})
}

// back brings back those that have left, with that time to live; 0 is none.
func (l *rolledBack) back(ttl time.Duration) {
	l.Helper()
	for entry, value := range l.leases {
		number, err := strconv.ParseFloat(strings.Split(entry, ":")[0], 64)
		_, failed := l.client.TxPipelined(l.Context(), func(p redis.Pipeliner) error {
			p.ZAdd(l.Context(), "{"+l.name+"}:queue", redis.Z{Score: number, Member: entry})
			p.Set(l.Context(), l.lease(entry), value, ttl)
			return nil
		})
		if err := errors.Join(err, failed); err != nil {
			l.Fatal(err)
		}
	}
}

// keep is back as their owners do it that live.
func (l *rolledBack) keep() {
	l.Helper()
	l.back(forLong)
	l.late = l.late || !l.kept.IsZero() && time.Since(l.kept) > forLong/2
	l.kept = time.Now()
}

func (l *rolledBack) refresh(q queue.TicketQueue, ticket queue.Ticket) {
	l.Helper()
	if err := queue.Refresh(l.Context(), q, ticket); err != nil {
		l.Fatal(err)
	}
}

// A server that goes back to what was before, as when the address of the primary moves to a
// replica that has given the place away, and back: both would be renewed for good.
func TestDisplacedByOwnersThatLive(t *testing.T) {
	for name, slots := range map[string]int{"Mutex": 0, "Semaphore": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for displace(t, slots) {
				t.Log("the machine is too busy to keep them alive")
			}
		})
	}
}

// firstShard is the hash of a Ring that puts all in the first shard that is up.
type firstShard string

func (f firstShard) Get(string) string { return string(f) }

// So is an owner in a Ring whose shard counted as down for a moment before that, and which a
// call has looked for in another one.
func TestDisplacedInAShardThatWasAway(t *testing.T) {
	for displaceInRing(t) {
		t.Log("the machine is too busy to keep it alive")
	}
}

// displaceInRing reports whether it says nothing.
func displaceInRing(t *testing.T) (late bool) {
	t.Helper()
	redistest.NeedReal(t)
	addr := redistest.Addr(t)
	var away atomic.Bool
	ring := redis.NewRing(&redis.RingOptions{
		Addrs:              map[string]string{"first": addr, "second": redistest.StartServer(t).Addr},
		NewConsistentHash:  func(shards []string) redis.ConsistentHash { return firstShard(slices.Min(shards)) },
		HeartbeatFrequency: 10 * time.Millisecond,
		HeartbeatFn:        func(_ context.Context, shard *redis.Client) bool { return shard.Options().Addr != addr || !away.Load() },
	})
	defer ring.Close()
	l, q, owner := newRolledBackOf(t, ring, redistest.Name(t), 0)
	for _, isAway := range []bool{true, false} {
		away.Store(isAway)
		for shards := ring.Len(); (shards == 1) != isAway; shards = ring.Len() {
			time.Sleep(time.Millisecond)
		}
		if _, err := q.IsEmpty(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for began := time.Now(); err == nil && time.Since(began) < 50*forLong; time.Sleep(pause) {
		l.keep()
		err = queue.Refresh(t.Context(), q, owner)
	}
	if !l.late {
		wantNotQueued(t, err)
	}
	return l.late
}

// displace reports whether it says nothing, because those in front may have run out.
func displace(t *testing.T, slots int) (late bool) {
	t.Helper()
	l, q, owner := newRolledBack(t, slots)
	next := mustRegister(t, q)
	wake, stop, err := queue.Watch(t.Context(), q, next)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	var granted atomic.Bool // what is taken back is there only for a moment
	go func() {
		for {
			select {
			case w := <-wake:
				granted.CompareAndSwap(false, w == queue.WakeOwner)
			case <-t.Context().Done():
				return
			}
		}
	}()
	for began := time.Now(); err == nil && time.Since(began) < 50*forLong; time.Sleep(pause) {
		l.keep()
		err = queue.Refresh(t.Context(), q, owner)
	}
	// It stands in the way of none, and has handed on to none.
	left := false
	for began := time.Now(); !left && time.Since(began) < 50*forLong; time.Sleep(pause) {
		l.keep()
		_, gone := l.client.ZScore(t.Context(), "{"+l.name+"}:queue", owner.Member).Result()
		left = errors.Is(gone, redis.Nil)
	}
	l.keep()
	place, looked := queue.Position(t.Context(), q, next)
	if l.keep(); l.late {
		return true
	}
	wantNotQueued(t, err)
	if !left || granted.Load() || looked != nil || place.Ahead == 0 {
		t.Errorf("it has left: %t; the next was granted its turn: %t, and is told %+v, %v", left, granted.Load(), place, looked)
	}
	return false
}

// What a failover brings back of those that have left lapses, or is made to. Nothing has
// happened to the owner.
func TestNotDisplacedByOwnersThatHaveLeft(t *testing.T) {
	for name, test := range map[string]struct {
		slots int
		ttl   time.Duration
	}{
		"Mutex":                  {0, forLong},
		"Semaphore":              {2, forLong},
		"without a time to live": {0, 0},
		"the clock is behind":    {0, 10 * forLong},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, q, owner := newRolledBack(t, test.slots)
			for range 2 { // the second time it takes as long again
				l.back(test.ttl)
				for began := time.Now(); time.Since(began) < 3*forLong; time.Sleep(pause) {
					l.refresh(q, owner)
				}
				// A busy machine may have kept the last heartbeats from being sent: one must be
				// answered when they have lapsed, before a failover brings them back once more.
				for ahead := 1; ahead > 0; time.Sleep(pause) {
					l.refresh(q, owner)
					place, err := queue.Position(t.Context(), q, owner)
					if err != nil {
						t.Fatal(err)
					}
					ahead = place.Ahead
				}
				l.refresh(q, owner)
			}
			mustRelease(t, q, owner)
		})
	}
}

// A view in which fewer own does not see that a ticket of another view owns, which is no
// reason to take it for one that does not.
func TestNotDisplacedThroughAnotherView(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	narrow := redisqueue.New(client, name, redisqueue.WithLease(forLong)).Share(2)
	wide := redisqueue.New(client, name, redisqueue.WithLease(time.Hour)).Share(5)
	others := []queue.Ticket{mustRegister(t, narrow), mustRegister(t, narrow)}
	owner := mustRegister(t, wide)
	for began := time.Now(); time.Since(began) < 2*forLong; time.Sleep(pause) {
		for _, ticket := range others {
			_ = queue.Refresh(t.Context(), narrow, ticket) // one that has run out does no harm
		}
		if err := queue.Refresh(t.Context(), narrow, owner); err != nil {
			t.Fatal(err)
		}
	}
	mustRelease(t, wide, owner)
}
