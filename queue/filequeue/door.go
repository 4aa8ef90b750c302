package filequeue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// door lets the calls go for the seq lock in the order in which they came: those of this
// process one at a time, each when no earlier call of another process waits.
//
// A call that does not get the lock at once takes a place: a lock on one byte of the
// directory, the one whose number is the time of the call. A call goes for the lock if no
// other process has a place before its own time, which takes one system call when there
// is none. A process has one place, that of its first call: the others wait for that one,
// and the next of them has a place of its own before the seq lock is free.
//
// The clock is the machine's, the same for all processes, also in containers. A step of
// it disturbs the order of those that are in at that moment.
//
// It is for fairness alone. Where the system has no such places, and if a process cannot
// take one, the seq lock is polled, and it is luck which process gets it. A process that
// waits moves its place by a nanosecond with each look, and so shows that it is alive.
// One that stands still is passed; when it goes on, it has its place again. And in the
// end a call goes for the lock in any case.
type door struct {
	mu      sync.Mutex
	taken   bool     // a call has come in and has not left
	waiting []*visit // in order: the calls that wait for it

	// These are of the call that is in.
	called int64     // when it came
	in     time.Time // since when it is in
	place  int64     // that this process has; 0: none

	front  int64     // the first place before its own when it last looked
	since  time.Time // the front has been the same
	passed []int64   // places of processes that stand still
	seen   []int64   // all places when the last one was passed
}

// visit is a call that waits for another one of this process.
type visit struct {
	called int64
	turn   chan struct{} // closed when it is in, or has its ticket
	r      *registration // nil if it has not come for a ticket
}

// errServed: the call need not come in, another one has registered for it.
var errServed = errors.New("another call has registered for this one")

const (
	// longestStill is how long the front may be the same.
	longestStill = 100 * time.Millisecond

	// mostPassed is how many may stand still for the others to go in order: with more, a
	// look takes too long.
	mostPassed = 100

	// longestPolite is how long a call stands at the door: longer than all earlier calls
	// may take, unless the clock was set back, or another program is at it.
	longestPolite = 10 * time.Second

	// mostCompanions is how many tickets a call takes at once with its own. It holds the
	// seq lock meanwhile, which others may need in less than longestLook.
	mostCompanions = 63

	// longestStep is more than a waiting process moves its place.
	longestStep = int64(time.Microsecond)
)

// enter comes in when the earlier calls have left. The error is errServed if one of them
// has registered for this one.
func (o *door) enter(ctx context.Context, wait time.Duration, r *registration) error {
	v := &visit{called: time.Now().UnixNano(), turn: make(chan struct{}), r: r}
	o.mu.Lock()
	if !o.taken {
		o.taken, o.called, o.in = true, v.called, time.Now()
		o.mu.Unlock()
		return nil
	}
	if wait == notAtAll {
		o.mu.Unlock()
		return errBusy
	}
	o.waiting = append(o.waiting, v)
	o.mu.Unlock()
	select {
	case <-v.turn:
	case <-ctx.Done():
		if o.withdraw(v) {
			return waitError(ctx)
		}
		<-v.turn // it is in, or is being served, at this moment
	}
	if r != nil && r.served {
		return errServed
	}
	return nil
}

// withdraw reports whether a call still waited, and does not any more.
func (o *door) withdraw(v *visit) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.Index(o.waiting, v)
	if i < 0 {
		return false
	}
	o.waiting = slices.Delete(o.waiting, i, i+1)
	return true
}

// companions are the calls for which the one that is in may register with its own: those
// that would come in directly behind it, for a ticket with the same settings, and came
// before any call of another process that stands at the door. They wait until they are
// served.
func (o *door) companions(dir *lockedfile.Dir, s *settings) []*visit {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for n < min(len(o.waiting), mostCompanions) && o.waiting[n].r.isFor(s) {
		n++
	}
	if n == 0 {
		return nil
	}
	if other, ok := dir.FirstPlace(0, o.waiting[n-1].called); ok {
		n = slices.IndexFunc(o.waiting[:n], func(v *visit) bool { return v.called > other })
	}
	companions := slices.Clone(o.waiting[:n])
	o.waiting = slices.Delete(o.waiting, 0, n)
	return companions
}

// waitError tells the end of the caller's ctx from that of a shorter wait.
func waitError(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errBusy) {
		return errBusy
	}
	return ctx.Err()
}

// leave lets the next call in. unlock unlocks seq, if it is locked.
func (o *door) leave(dir *lockedfile.Dir, unlock func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) == 0 {
		o.move(dir, 0)
		unlock()
		o.taken = false
		return
	}
	next := o.waiting[0]
	o.waiting[0] = nil
	o.waiting = o.waiting[1:]
	// When the clock was set back, all calls of the other processes from then on seem to
	// be earlier, for as long.
	now := time.Now()
	called := min(next.called, now.UnixNano())
	o.move(dir, called)
	unlock()
	o.called, o.in = called, now
	close(next.turn)
}

// move takes the place at, instead of the one that there was. 0 is none.
func (o *door) move(dir *lockedfile.Dir, at int64) {
	if at != 0 {
		dir.TakePlace(at)
	}
	if o.place != 0 && o.place != at {
		dir.LeavePlace(o.place)
	}
	o.place = at
}

// stand takes the place of the call that is in, or shows that it is alive.
func (o *door) stand(dir *lockedfile.Dir) {
	if o.place == 0 {
		o.move(dir, o.called)
	} else {
		o.move(dir, o.place+1)
	}
}

// isFirst reports whether the call that is in is the next to go for the seq lock, and
// whether it has come nearer to that.
func (o *door) isFirst(dir *lockedfile.Dir) (first, nearer bool) {
	if time.Since(o.in) > longestPolite {
		return true, false
	}
	if len(o.passed) >= mostPassed {
		if time.Since(o.since) < longestPolite {
			return true, false
		}
		o.passed = nil // they may have gone
	}
	for from := int64(0); ; {
		front, ok := dir.FirstPlace(from, max(o.called, o.place))
		switch {
		case !ok:
			nearer, o.front = o.front != 0, 0
			return true, nearer
		case slices.Contains(o.passed, front):
		case front != o.front:
			nearer = front < o.front || front-o.front > longestStep
			o.front, o.since = front, time.Now()
			return false, nearer
		case time.Since(o.since) < longestStill:
			return false, false
		default:
			o.pass(dir)
		}
		from = front + 1
	}
}

// pass has the front passed, and with it all places that have not moved since the last
// one was passed: processes that are stopped together hold up a call once, or twice.
func (o *door) pass(dir *lockedfile.Dir) {
	var there, still []int64
	for from := int64(0); len(there) < 2*mostPassed; {
		at, ok := dir.FirstPlace(from, max(o.called, o.place))
		if !ok {
			break
		}
		if at == o.front || slices.Contains(o.passed, at) || slices.Contains(o.seen, at) {
			still = append(still, at)
		}
		there, from = append(there, at), at+1
	}
	o.passed, o.seen = still, there
}

// registration is a call that comes for a ticket.
type registration struct {
	ctx   context.Context
	s     *settings
	alone bool // it takes none for others, and they none for it

	onlyFree bool // it takes one only if that owns at once

	// Written by the call that has the seq lock.
	served bool    // by another call
	taken  *ticket // nil: none
	ticket queue.Ticket
	err    error
}

// isFor reports whether a call with the settings may take a ticket for this one, too.
func (r *registration) isFor(s *settings) bool {
	return r != nil && r.s == s && !r.alone && r.ctx.Err() == nil
}
