package lock

import (
	"reflect"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// Trace is a set of hooks that are called as a Mutex or a Semaphore goes through
// its states, in the manner of net/http/httptrace.ClientTrace. Any of them may be
// nil, and costs nothing then. They may be called concurrently, for different tickets, and
// HeartbeatFailed and Evicted beside the others of the same one. They hold no lock while
// they run: they may call back into the Mutex. One that takes long holds up the call it
// reports on. When Registered, Waiting or Acquired panics, the panic goes through the call,
// which then owns nothing. A hold that is unlocked by one of its own hooks is told as
// Released before Acquired has returned. A TryLock or TryAcquire that finds the lock in use
// calls none but Evicted.
//
// After Registered, Acquired or Failed is called once for the same ticket; so the
// difference is the number of waiters (a Failed without a ticket counts for none). After
// Acquired, Released or Lost is called once; so the difference is the number of holders. A
// hook that panics ends that: nothing more is told of its ticket.
type Trace struct {
	// Registered: t is in line. It may own already (Ahead is 0).
	Registered func(t queue.Ticket)

	// Waiting: t's place in line has changed to ahead, which is above 0. Places
	// that went by between two looks are not reported.
	Waiting func(t queue.Ticket, ahead int)

	// Acquired: t owns. waited is the time since Lock, TryLock or Acquire was
	// called.
	Acquired func(t queue.Ticket, waited time.Duration)

	// Failed: the call returns err, waited after it began, and does not own. t leaves the
	// line (if the queue does not answer, at the latest after one lease). t is zero if the
	// call has no ticket: it never came into line, or Failed was told of it before.
	//
	// It is also called when only the ticket has failed and the call goes on: with
	// an err that is [queue.ErrNotQueued] if t was evicted while it waited (another
	// Registered follows, unless ctx ends, the queue fails, or it was a TryLock, which
	// returns false); and when t had to step back because an earlier hold of the same Mutex
	// was lost and is not unlocked yet.
	Failed func(t queue.Ticket, waited time.Duration, err error)

	// HeartbeatFailed: a heartbeat of t failed with err. The ticket is still believed, and
	// the heartbeat is tried again until the lease may have run out. It is called in a
	// goroutine of its own.
	HeartbeatFailed func(t queue.Ticket, err error)

	// Lost: t owned and was lost; err says why. It is called once, in a goroutine
	// of its own, about when the channel of Lost is closed, and not when only
	// Unlock or Release finds out (see ReleaseFailed).
	Lost func(t queue.Ticket, err error)

	// Released: the holder of t gives it up, after held. It is called before
	// anything else can own, and before the queue has answered; t is not kept alive
	// any more while it runs. It must not wait for this lock, which is not free before
	// it has returned.
	Released func(t queue.Ticket, held time.Duration)

	// ReleaseFailed: after Released, the queue did not confirm that t has left the line;
	// err is what Unlock or Release returns.
	ReleaseFailed func(t queue.Ticket, err error)

	// Evicted: a call of this value has removed t, a ticket of another owner as a rule, because
	// that owner was gone: its process died, was cut off or stopped for too long (the lease,
	// redisqueue.WithCrashDetection, filequeue.WithStaleTimeout). All in line look after
	// the head, so of many values one is told, or none (see [queue.OnEvicted]). A holder whose own entry has lapsed in the
	// storage may evict it itself: then both Lost and Evicted are called for t. It is called
	// in a goroutine of its own. A queue that does not tell which tickets it evicts (see
	// [queue.Evicted]) never has it called.
	Evicted func(t queue.Ticket)
}

// add has the hooks of u called after those of t, as net/http/httptrace does.
func (t *Trace) add(u Trace) {
	hooks, more := reflect.ValueOf(t).Elem(), reflect.ValueOf(u)
	for i := range hooks.NumField() {
		hook, next := hooks.Field(i), more.Field(i)
		switch {
		case next.IsNil():
		case hook.IsNil():
			hook.Set(next)
		default:
			first := reflect.ValueOf(hook.Interface())
			hook.Set(reflect.MakeFunc(hook.Type(), func(args []reflect.Value) []reflect.Value {
				first.Call(args)
				return next.Call(args)
			}))
		}
	}
}
