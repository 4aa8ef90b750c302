package redisqueue_test

import (
	"errors"
	"strings"
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
}

// forLong is the lease of those in front.
const forLong = 300 * time.Millisecond

// newRolledBack returns an owner that has followed all of those in front, as many as own,
// which have left; slots is 0 for an exclusive line.
func newRolledBack(t *testing.T, slots int) (l *rolledBack, q queue.TicketQueue, owner queue.Ticket) {
	l = &rolledBack{t, redistest.Client(t), redistest.Name(t), make(map[string]string)}
	viewed := func(q *redisqueue.Queue) queue.TicketQueue {
		if slots == 0 {
			return q
		}
		return q.Share(slots)
	}
	others := viewed(redisqueue.New(redistest.Client(t), l.name, redisqueue.WithLease(forLong)))
	q = viewed(redisqueue.New(l.client, l.name, redisqueue.WithLease(time.Hour)))
	var front []queue.Ticket
	for range max(1, slots) {
		front = append(front, mustRegister(t, others))
	}
	owner = mustRegister(t, q)
	for _, ticket := range front {
		_, token, _ := strings.Cut(ticket.Member, ":")
		token, _, _ = strings.Cut(token, ":")
		value, err := l.client.Get(t.Context(), "{"+l.name+"}:lease:"+token).Result()
		if err != nil {
			t.Fatal("its lease has run out before it was used: ", err)
		}
		l.leases[ticket.Member] = value
	}
	for _, ticket := range front {
		mustRelease(t, others, ticket)
	}
	wantHead(t, q, owner)
	l.refresh(q, owner)
	return l, q, owner
}

// back brings back those that have left, as they were when their leases were renewed last.
func (l *rolledBack) back() {
	l.Helper()
	for member, value := range l.leases {
		parts := strings.Split(member, ":")
		score, err := redis.NewScript("return tonumber(ARGV[1])").Run(l.Context(), l.client, nil, parts[0]).Int64()
		_, failed := l.client.TxPipelined(l.Context(), func(p redis.Pipeliner) error {
			p.ZAdd(l.Context(), "{"+l.name+"}:queue", redis.Z{Score: float64(score), Member: member})
			p.Set(l.Context(), "{"+l.name+"}:lease:"+parts[1], value, forLong)
			return nil
		})
		if err := errors.Join(err, failed); err != nil {
			l.Fatal(err)
		}
	}
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
			l, q, owner := newRolledBack(t, slots)
			next := mustRegister(t, q)
			wake, stop, err := queue.Watch(t.Context(), q, next)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			for began := time.Now(); err == nil && time.Since(began) < 50*forLong; time.Sleep(pause) {
				l.back()
				err = queue.Refresh(t.Context(), q, owner)
			}
			wantNotQueued(t, err)
			// It stands in the way of none, and has handed on to none.
			for began := time.Now(); ; time.Sleep(pause) {
				_, err := l.client.ZScore(t.Context(), "{"+l.name+"}:queue", owner.Member).Result()
				if errors.Is(err, redis.Nil) {
					break
				}
				if err != nil || time.Since(began) > 50*forLong {
					t.Fatal("it stays in line: ", err)
				}
				l.back()
			}
			l.back()
			if place, err := queue.Position(t.Context(), q, next); err != nil || place.Ahead == 0 {
				t.Errorf("the next in line: %+v, %v", place, err)
			}
			if len(wake) > 0 && <-wake == queue.WakeOwner {
				t.Error("it has handed on what it had not")
			}
		})
	}
}

// What a failover brings back of those that have left lapses. Nothing has happened to the
// owner.
func TestNotDisplacedByOwnersThatHaveLeft(t *testing.T) {
	for name, slots := range map[string]int{"Mutex": 0, "Semaphore": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, q, owner := newRolledBack(t, slots)
			l.back()
			for ahead := 1; ahead > 0; time.Sleep(pause) {
				l.refresh(q, owner)
				place, err := queue.Position(t.Context(), q, owner)
				if err != nil {
					t.Fatal(err)
				}
				ahead = place.Ahead
			}
			l.refresh(q, owner)
			l.back() // once more: it takes as long again
			l.refresh(q, owner)
			l.refresh(q, owner)
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
