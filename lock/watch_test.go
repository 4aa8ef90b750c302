package lock_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// chain is a queue that grants a turn before the storage has confirmed it, and may
// take it back. The test says when.
type chain struct {
	*faulty
	wake chan queue.Wake

	mu    sync.Mutex
	calls []string // of Release and stop, in order
}

func newChain(lease time.Duration) *chain {
	return &chain{faulty: newFaulty(leased(lease)), wake: make(chan queue.Wake, 1)}
}

func (c *chain) called(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, method)
}

func (c *chain) Watch(context.Context, queue.Ticket) (<-chan queue.Wake, func(), error) {
	return c.wake, func() { c.called("stop") }, nil
}

func (c *chain) Release(ctx context.Context, t queue.Ticket) error {
	defer c.called("Release")
	return c.faulty.Release(ctx, t)
}

// grant has m wait behind another ticket and be granted its turn all the same.
func (c *chain) grant(t *testing.T, m *lock.Mutex) (before queue.Ticket) {
	t.Helper()
	before, err := c.Queue.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.wake <- queue.WakeOwner
	mustLock(t, m)
	time.Sleep(10 * time.Millisecond)
	if isClosed(m.Lost()) {
		t.Fatal("lost without a word")
	}
	return before
}

func TestAGrantThatIsTakenBack(t *testing.T) {
	free := make(chan struct{})
	for name, test := range map[string]struct {
		lease time.Duration
		fault func(c *chain, own queue.Ticket)
		most  time.Duration // until the hold is lost
		wake  queue.Wake
	}{
		"the ticket does not own":            {0, func(*chain, queue.Ticket) {}, 0, queue.WakeHint},
		"the ticket does not own, lease=30s": {lease, func(*chain, queue.Ticket) {}, 0, queue.WakeHint},
		"the ticket is gone": {lease, func(c *chain, own queue.Ticket) {
			_ = c.Queue.Remove(context.Background(), own)
		}, 0, queue.WakeHint},
		"a late grant displaces the hint": {lease, func(*chain, queue.Ticket) {}, 0, queue.WakeOwner},
		"the first look fails": {lease, func(c *chain, _ queue.Ticket) {
			c.failBefore(func(_ context.Context, method string) error {
				if method == "Position" && c.count("Position") == 1 {
					return errDown
				}
				return nil
			})
		}, 100 * time.Millisecond, queue.WakeHint},
		"the first look hangs": {lease, func(c *chain, _ queue.Ticket) {
			c.failBefore(func(_ context.Context, method string) error {
				if method == "Position" && c.count("Position") == 1 {
					<-free
				}
				return nil
			})
		}, 2 * time.Second, queue.WakeHint},
		"the queue was closed": {lease, func(c *chain, _ queue.Ticket) {
			c.failBefore(func(_ context.Context, method string) error {
				if c.count("Position") > 1 {
					t.Errorf("it looked %d times, though it was closed", c.count("Position"))
				}
				return queue.ErrClosed
			})
		}, lease, queue.WakeHint},
		"no look is answered": {lease, func(c *chain, _ queue.Ticket) { c.failBefore(down("Position", "Refresh")) }, lease, queue.WakeHint},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free = make(chan struct{})
				c := newChain(test.lease)
				option, tickets := registration()
				var lost atomic.Int32
				m := lock.New(c, option, lock.WithTrace(&lock.Trace{Lost: func(queue.Ticket, error) { lost.Add(1) }}))
				before := c.grant(t, m)
				test.fault(c, <-tickets)
				began := time.Now()
				c.wake <- test.wake
				<-m.Lost()
				if took := time.Since(began); took > test.most {
					t.Errorf("lost after %v, want at most %v", took, test.most)
				}
				close(free)
				synctest.Wait()
				if lost.Load() != 1 {
					t.Errorf("the hook Lost was called %d times", lost.Load())
				}
				c.failBefore(down("nothing"))
				if n := inLine(t, c); n > 1 && test.most < lease {
					t.Errorf("%d are in line, though the ticket that was lost would hold up the rest", n)
				}
				if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
					t.Errorf("Unlock returned %v, want ErrLost", err)
				}
				_ = c.Queue.Remove(t.Context(), before)
				if n := inLine(t, c); n > 0 {
					t.Errorf("%d tickets are left in line", n)
				}
			})
		})
	}
}

// A hint is no more than that: an owner that looks and owns goes on, for as many
// hints as come, and one that comes while it looks counts as well.
func TestAGrantThatIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(lease)
		m := lock.New(c)
		before := c.grant(t, m)
		_ = c.Queue.Remove(t.Context(), before) // now it owns
		for range 5 {
			c.wake <- queue.WakeHint
			time.Sleep(time.Millisecond)
		}
		if n := c.count("Position"); n != 5 {
			t.Errorf("it looked %d times for 5 hints", n)
		}
		if isClosed(m.Lost()) {
			t.Error("lost, though the ticket owns")
		}
		answered := make(chan struct{})
		c.failAfter(hang("Position", answered))
		c.wake <- queue.WakeHint
		synctest.Wait()
		if err := c.Queue.Remove(t.Context(), queue.Ticket{}); !errors.Is(err, queue.ErrNotQueued) {
			t.Fatal(err)
		}
		token := m.Token()
		_ = c.Queue.Remove(t.Context(), ticketOf(t, c, token)) // after the look was executed
		c.wake <- queue.WakeHint
		close(answered)
		<-m.Lost()
		_ = m.Unlock()
	})
}

// ticketOf finds a ticket by its number.
func ticketOf(t *testing.T, q queue.TicketQueue, number int64) queue.Ticket {
	t.Helper()
	members, err := queue.Members(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Ticket.Number == number {
			return m.Ticket
		}
	}
	t.Fatalf("ticket %d is not in line", number)
	return queue.Ticket{}
}

// The watch ends with the hold, when its release was answered; and one that found
// by looking that it owns ends it then.
func TestAWatchEndsWithItsHold(t *testing.T) {
	for _, hold := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := newChain(lease)
			m := lock.New(c)
			before := c.grant(t, m)
			_ = c.Queue.Remove(t.Context(), before)
			time.Sleep(hold)
			mustUnlock(t, m)
			if !slices.Equal(c.calls, []string{"Release", "stop"}) {
				t.Errorf("an owner that was granted its turn called %v", c.calls)
			}
			looks := c.count("Position")
			c.wake <- queue.WakeHint
			time.Sleep(time.Minute)
			if n := c.count("Position"); n > looks {
				t.Errorf("it looked %d times after Unlock", n-looks)
			}
			<-c.wake

			c.calls = nil
			holder := lock.New(c)
			mustLock(t, holder)
			time.AfterFunc(time.Second, func() { mustUnlock(t, holder) })
			mustLock(t, m)
			if !slices.Equal(c.calls, []string{"Release", "stop"}) {
				t.Errorf("a waiter that has looked called %v", c.calls)
			}
			mustUnlock(t, m)
		})
	}
}
