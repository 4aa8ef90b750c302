//go:build linux

package call

import (
	"errors"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// granted is a Mutex through the far client. Its Lock is under way, in line.
type granted struct {
	*lock.Mutex
	call *faulttest.Locking
}

// follow puts n behind those in line, each of which relies on being woken.
func follow(t *testing.T, p *faulttest.Paths, n int) (all []granted) {
	t.Helper()
	line := redisqueue.New(p.Near, p.Name)
	for range n {
		members, err := line.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m := p.Mutex(p.Far, time.Hour)
		all = append(all, granted{m, faulttest.Lock(t.Context(), t, m)})
		faulttest.AwaitLine(t, line, len(members)+1)
	}
	faulttest.AwaitSubscriptions(t, p.Near, 1)
	return all
}

// A hand-off that the server has not confirmed, of a line that is lost:
//
//  1. A holds; B waits, in the same process.
//  2. All keys vanish; D locks, in another process.
//  3. A unlocks; its release is slow. B is granted by A.
//  4. The release arrives: there is no such ticket.
//
// B has lost what it was granted, as soon as the release is answered and not by its
// lease. An owner beside D is never told that all was well.
func TestHandOffOfALostLine(t *testing.T) {
	t.Parallel()
	p := faulttest.NewPaths(t)
	release := faulttest.ReleaseHash(t, p.Server.Client())
	a, d := p.Mutex(p.Far, time.Hour), p.Mutex(p.Near, time.Hour)
	faulttest.MustLock(t, a)
	b := follow(t, p, 1)[0]
	slow, send := p.Proxy.DelayRequests(release, 1)
	_, look := p.Proxy.DelayRequests(p.Keys, faulttest.Everything) // or B sees that it is lost
	p.Vanish(t, false)
	faulttest.MustLock(t, d)
	unlocked := make(chan error, 1)
	go func() { unlocked <- a.Unlock() }()
	<-slow
	if err := b.call.ReturnsWithin(faulttest.Long, "A has unlocked"); err != nil {
		t.Fatal(err)
	}
	lost := b.Lost()
	send()
	look()
	select {
	case <-lost:
	case <-time.After(faulttest.Long):
		t.Error("B has not lost what it was granted")
	}
	if err := b.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock of B returned %v, want ErrLost", err)
	}
	faulttest.MustUnlock(t, d)
	if err := <-unlocked; !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock of A returned %v, want ErrLost", err)
	}
}

// The same with one more, while a release hangs. One answer is enough to know:
//
//  1. A holds; B and C wait, in the same process.
//  2. All keys vanish; D locks, in another process.
//  3. A unlocks; its release hangs. B is granted by A.
//  4. B unlocks. C is granted by B. B's release is answered: there is no such ticket.
//
// C has lost what it was granted, though A's release still hangs.
func TestHandOffOfALostLineWhileOneHangs(t *testing.T) {
	t.Parallel()
	p := faulttest.NewPaths(t)
	release := faulttest.ReleaseHash(t, p.Server.Client())
	a, d := p.Mutex(p.Far, time.Hour, lock.WithReleaseTimeout(time.Hour)), p.Mutex(p.Near, time.Hour)
	faulttest.MustLock(t, a)
	all := follow(t, p, 2)
	b, c := all[0], all[1]
	hangs, send := p.Proxy.DelayRequests(release, 1)
	defer send()
	_, look := p.Proxy.DelayRequests(p.Keys, faulttest.Everything) // or B sees that it is lost
	defer look()
	p.Vanish(t, false)
	faulttest.MustLock(t, d)
	unlocked := make(chan error, 1)
	go func() { unlocked <- a.Unlock() }()
	<-hangs
	if err := b.call.ReturnsWithin(faulttest.Long, "A has unlocked"); err != nil {
		t.Fatal(err)
	}
	look()
	if err := b.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock of B returned %v, want ErrLost", err)
	}
	if err := c.call.ReturnsWithin(faulttest.Long, "B has unlocked"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Lost():
	case <-time.After(faulttest.Long):
		t.Error("C has not lost what it was granted, though B's release was answered")
	}
	if err := c.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock of C returned %v, want ErrLost", err)
	}
	faulttest.MustUnlock(t, d)
	send()
	if err := <-unlocked; !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock of A returned %v, want ErrLost", err)
	}
}

// Releases overtake each other, and nothing is lost: each grant is kept, each waiter owns
// in turn, and each Unlock returns nil.
//
//  1. A holds; B, C and E wait, in the same process, and D in another, in this order:
//     B, C, D, E.
//  2. A unlocks; its release is slow. B is granted by A, and C by B. Their releases
//     arrive before A's.
//  3. A's release arrives. D owns, and then E.
func TestHandOffOutOfOrder(t *testing.T) {
	t.Parallel()
	p := faulttest.NewPaths(t)
	line := redisqueue.New(p.Near, p.Name)
	release := faulttest.ReleaseHash(t, p.Server.Client())
	a := p.Mutex(p.Far, time.Hour)
	faulttest.MustLock(t, a)
	all := follow(t, p, 2)
	d := granted{Mutex: p.Mutex(p.Near, time.Hour)}
	d.call = faulttest.Lock(t.Context(), t, d.Mutex)
	faulttest.AwaitLine(t, line, 4)
	e := p.Mutex(p.Far, time.Hour)
	last := granted{e, faulttest.Lock(t.Context(), t, e)}
	faulttest.AwaitLine(t, line, 5)
	slow, send := p.Proxy.DelayRequests(release, 1)
	unlocked := make(chan error, 1)
	go func() { unlocked <- a.Unlock() }()
	<-slow
	token := int64(0)
	for i, next := range append(all, d, last) {
		if i == len(all) {
			send()
		}
		next.call.Granted()
		if next.Token() <= token {
			t.Errorf("token %d comes after %d", next.Token(), token)
		}
		token = next.Token()
		select {
		case <-next.Lost():
			t.Error("a hold is lost, though nothing was")
		case <-time.After(faulttest.Moment):
		}
		faulttest.MustUnlock(t, next.Mutex)
	}
	if err := <-unlocked; err != nil {
		t.Errorf("Unlock of A returned %v", err)
	}
	faulttest.AwaitEmpty(t, line)
}

// The release of the owner fails for good. Those behind it, in the same process, do not
// own beside another process: that one owns when all their leases are over.
func TestHandOffOfAReleaseThatFails(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 3*time.Second, func(lease time.Duration) bool { return handOffOfAReleaseThatFails(t, lease) })
}

// handOffOfAReleaseThatFails reports false if a lease has run out where none is to, or
// its owner's clock had no time to say so.
func handOffOfAReleaseThatFails(t *testing.T, lease time.Duration) (kept bool) {
	t.Helper()
	p := faulttest.NewPaths(t)
	release := faulttest.ReleaseHash(t, p.Server.Client())
	a := p.Mutex(p.Far, lease, lock.WithReleaseTimeout(lease/3))
	faulttest.MustLock(t, a)
	b := granted{Mutex: p.Mutex(p.Far, lease)}
	b.call = faulttest.Lock(t.Context(), t, b.Mutex)
	line := redisqueue.New(p.Near, p.Name)
	lostA := a.Lost()
	if !faulttest.AwaitLineBehind(t, a, line, 2) {
		return false
	}
	d := granted{Mutex: p.Mutex(p.Near, lease)}
	d.call = faulttest.Lock(t.Context(), t, d.Mutex)
	if !faulttest.AwaitLineBehind(t, a, line, 3) {
		return false
	}
	slow, send := p.Proxy.DelayRequests(release, 1)
	defer send()
	err := a.Unlock()
	select {
	case <-lostA:
		return false
	default:
	}
	if err == nil || errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("Unlock of A returned %v, want that it is not known", err)
	}
	select {
	case <-slow:
	case <-time.After(faulttest.Long):
		return false // A has given up before it sent anything
	}
	select {
	case err := <-b.call.Result():
		if err != nil {
			t.Fatal(err)
		}
	case err := <-d.call.Result():
		if err != nil {
			t.Fatal(err)
		}
		token := d.Token()
		faulttest.MutexUnlocked(t, d.Mutex)
		b.call.Granted()
		if b.Token() < token {
			t.Errorf("D owns with token %d before B with %d, which was in line before it", token, b.Token())
		}
		faulttest.MutexUnlocked(t, b.Mutex)
		return false // B has lost its place with its lease
	}
	select {
	case err := <-d.call.Result():
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-b.Lost():
		default:
			t.Errorf("D owns beside B")
		}
		d.call = nil
	case <-b.Lost():
	case <-time.After(2 * lease): // B's ticket is the first that lives: it goes on owning
	}
	lost := b.Lost()
	err = b.Unlock()
	select {
	case <-lost:
		if !errors.Is(err, lock.ErrLost) {
			t.Errorf("Unlock of B returned %v, want ErrLost", err)
		}
	default:
		if err != nil {
			t.Errorf("Unlock of B, which has lost nothing, returned %v", err)
		}
	}
	send()
	if d.call != nil {
		if err := d.call.ReturnsWithin(faulttest.Long, "A and B have unlocked"); err != nil {
			t.Fatal(err)
		}
	}
	return faulttest.MutexUnlocked(t, d.Mutex)
}
