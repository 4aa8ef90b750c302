// The file backend: a line in a directory.
//
//	/var/lock/report/                      removed with the last ticket
//	    seq                                the last number given out: 20 digits, newline
//	    00001767225600000001.4711.0b6e…    a ticket: {number:020d}.{pid}.{uuid}
//	    00001767225600000042.4712.9f31…
//
// The lowest number is the head. A ticket's owner holds an exclusive flock on
// the ticket's file for as long as the ticket lives, and the kernel drops it
// when the process is gone, however it went. So whoever can take that flock
// has proof of death. The pid is for people to read; no decision is made on it.
// The file is empty, or says what stale timeout the ticket has.
//
// The seq lock is an exclusive flock on seq. What must not happen in two
// places at once is done with it held: to take a number and stand in line, to
// judge and evict, to clean up. It is held for some 20 µs, and waited for by
// polling: a blocking flock cannot be cancelled. To leave the line, to look
// whether it is one's turn, and the hand-off do without it.
//
//	Register   open, flock, fstat, fstatat         lock seq, and make sure that it is seq
//	           pread, pwrite                       the number
//	           openat, close                       the ticket
//	           open, flock, fstat, fstatat         its flock
//	           flock, close                        unlock seq
//	Position   lstat                               when it is our turn; 1 or 2 more when not
//	Release    lstat, unlinkat, fstat, flock, close; lstat of the next, if ours
//	           ... and of the last one             lock seq, pread, unlinkat, close,
//	                                               rmdir, flock, close, close
//
// Package os adds an epoll_ctl to every open. By strace -c that is 22 system
// calls for one to come and go while the queue is in use, and 40 where it makes
// the directory and removes it again. That is left to the next one if another
// goroutine of the process is about to join; see tidy. The directory is listed
// only when somebody of another process has joined since we last looked; see
// line. What a release costs does not depend on how many wait.
//
// The next in line is told directly if it is of the process that releases, and
// that it is the head; otherwise fsnotify, listening to the one file before it,
// tells it. When that one becomes the head itself, it touches its file, so that
// the next knows that it is the first in line and looks often from then on.
// Nothing tells that a process has died. So the first of each process who waits is
// woken now and then to look; see setAlarm.
//
// Everything in the directory is done through an os.Root, on regular files with
// one name, and nothing is ever truncated when it is opened. gofrs/flock opens
// by path; so what it has locked is compared with what the os.Root has under
// the name before it counts.

package filequeue

import (
	"context"
	"errors"
	"fmt"

	"github.com/fifolock/fifolock/queue"
)

// Queue is a queue in a directory, for the processes of one machine. Processes
// in different containers that share the directory share the queue.
//
// A Queue may be used by any number of goroutines at once, and any number of
// values, in one process or in many, may be made for one directory. It needs
// no closing: what a queue has open (the directory, seq, and a file for every
// ticket) is open only while a call, a ticket or a watch needs it.
//
// On a local file system there is at most one living head at any time. A
// ticket lives until it is removed or its process is gone; there is no moment
// to wait for then, and nothing to refresh. A process that is stopped, or that
// nobody gives any time, keeps its place, unless [WithStaleTimeout] says
// otherwise.
//
// What is not promised:
//
//   - Anything on NFS and other network file systems, where flock may be local
//     to each machine, or fail. Use [redisqueue.Queue] between machines.
//   - That a ticket ends with its process if another one has its descriptor: a
//     child that was forked and has not executed anything, or one that was
//     given it in ExtraFiles. Children of package os/exec do not inherit it.
//   - Protection from those who may write to the directory. Whoever removes a
//     ticket's file takes the place away; who removes or moves the directory,
//     all of them. Refresh then says so.
//   - That anything survives a crash of the machine: nothing is synced, since
//     nobody who was in line survives it either. The numbers go on from the
//     clock then, as they do when a queue was cleaned up. If the clock was set
//     back as well, they may start lower.
//   - Room for more tickets than the process may open files.
type Queue struct {
	settings fileSettings
	err      error // of the arguments; every call returns it
}

var (
	_ queue.TryRegisterer = (*Queue)(nil)
	_ queue.Releaser      = (*Queue)(nil)
	_ queue.Refresher     = (*Queue)(nil)
	_ queue.Watcher       = (*Queue)(nil)
	_ queue.Positioner    = (*Queue)(nil)
	_ queue.Lister        = (*Queue)(nil)
)

// New returns the queue that is kept in dir. It does not touch the file
// system: the directory is created by the first Register (with what is missing
// above it), and removed when the line is empty again (but not what is above
// it). A relative dir is relative to where the process is now.
func New(dir string, opts ...Option) *Queue {
	settings, err := newFileSettings(dir, newOptions(opts))
	if err != nil {
		settings.path = dir
	}
	return &Queue{settings: settings, err: err}
}

// String says what kind of queue it is, and where.
func (q *Queue) String() string { return "file queue " + q.settings.path }

// fail names the operation and the queue in an error.
func (q *Queue) fail(operation string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%v: %s: %w", q, operation, err)
}

// Register implements [queue.TicketQueue].
func (q *Queue) Register(ctx context.Context) (queue.Ticket, error) {
	t, _, err := q.register(ctx, false)
	return t, q.fail("register", err)
}

// TryRegister implements [queue.TryRegisterer].
func (q *Queue) TryRegister(ctx context.Context) (queue.Ticket, bool, error) {
	t, ok, err := q.register(ctx, true)
	return t, ok, q.fail("try to register", err)
}

func (q *Queue) register(ctx context.Context, onlyHead bool) (t queue.Ticket, ok bool, err error) {
	err = q.within(ctx, true, func(d *directory) (err error) {
		t, ok, err = d.register(ctx, &q.settings, onlyHead)
		return err
	})
	if err != nil {
		return queue.Ticket{}, false, err
	}
	return t, ok, nil
}

// IsHead implements [queue.TicketQueue].
func (q *Queue) IsHead(ctx context.Context, t queue.Ticket) (bool, error) {
	ahead, err := q.position(ctx, t, false)
	return err == nil && ahead == 0, q.fail("look for the head", err)
}

// Position implements [queue.Positioner]. The number is exact if it is 0 or 1. It fails
// when the disk has failed, or the file system has become read-only: those in
// front could not leave any more.
func (q *Queue) Position(ctx context.Context, t queue.Ticket) (queue.Place, error) {
	ahead, err := q.position(ctx, t, true)
	return queue.Place{Ahead: ahead}, q.fail("look for the position", err)
}

func (q *Queue) position(ctx context.Context, t queue.Ticket, judge bool) (ahead int, err error) {
	err = q.within(ctx, false, func(d *directory) (err error) {
		ahead, err = d.position(ctx, &q.settings, t, judge)
		return err
	})
	return ahead, orNotQueued(err)
}

// orNotQueued is for calls about a ticket: where there is no directory, it is
// not in line.
func orNotQueued(err error) error {
	if errors.Is(err, errNoDirectory) {
		return queue.ErrNotQueued
	}
	return err
}

// Remove implements [queue.TicketQueue]. If the ticket's file cannot be removed (the
// directory is read-only), it returns the error, but the ticket is as good as
// out of the line: its owner shows to be gone.
//
// A ticket of this process leaves the line also when ctx has ended: nothing need
// be waited for, and without a stale timeout nothing else would ever end it while
// the process lives.
func (q *Queue) Remove(ctx context.Context, t queue.Ticket) error {
	err := q.within(context.WithoutCancel(ctx), false, func(d *directory) error {
		_, err := d.remove(ctx, &q.settings, t)
		return err
	})
	return q.fail("remove", orNotQueued(err))
}

// Release implements [queue.Releaser]. Its error is that of removing the ticket, for
// which Remove says what holds.
func (q *Queue) Release(ctx context.Context, t queue.Ticket) error {
	err := q.within(context.WithoutCancel(ctx), false, func(d *directory) error {
		return d.release(ctx, &q.settings, t)
	})
	return q.fail("release", orNotQueued(err))
}

// Refresh implements [queue.Refresher]. It notices that the ticket was removed, that
// the directory was removed or moved, and that the lock on the ticket's file
// was lost because other code has closed its descriptor. A ticket that was not
// refreshed for its stale timeout is lost too, whether or not anybody has
// evicted it yet.
func (q *Queue) Refresh(ctx context.Context, t queue.Ticket) error {
	err := q.within(ctx, false, func(d *directory) error { return d.refresh(t) })
	return q.fail("refresh", orNotQueued(err))
}

// Watch implements [queue.Watcher]. It is for tickets that this process has taken.
// queue.WakeOwner comes only from a ticket of this process; another process gives hints.
//
// The first of this process who waits gets a queue.WakeHint every 40 ms while all the tickets
// in front, more than one, are of one process, which may die with all of them, and
// after 100 ms for each process if they are of several, up to 5 s.
func (q *Queue) Watch(ctx context.Context, t queue.Ticket) (wake <-chan queue.Wake, stop func(), err error) {
	stop = func() {}
	err = q.within(ctx, false, func(d *directory) error {
		w, s, err := d.watch(t)
		if err == nil {
			wake, stop = w, s
		}
		return err
	})
	return wake, stop, q.fail("watch", orNotQueued(err))
}

// CleanupStale implements [queue.TicketQueue].
func (q *Queue) CleanupStale(ctx context.Context) error {
	err := q.within(ctx, false, func(d *directory) error {
		return d.cleanupStale(ctx, &q.settings, forAsLong)
	})
	if errors.Is(err, errNoDirectory) {
		return nil
	}
	return q.fail("remove stale heads", err)
}

// IsEmpty implements [queue.TicketQueue].
func (q *Queue) IsEmpty(ctx context.Context) (empty bool, err error) {
	err = q.within(ctx, false, func(d *directory) (err error) {
		empty, err = d.empty()
		return err
	})
	if errors.Is(err, errNoDirectory) {
		return true, nil
	}
	return empty && err == nil, q.fail("see whether it is empty", err)
}

// MaybeCleanup implements [queue.TicketQueue].
func (q *Queue) MaybeCleanup(ctx context.Context) {
	_ = q.within(ctx, false, func(d *directory) error {
		return d.maybeCleanUp(ctx, &q.settings)
	})
}

// Members implements [queue.Lister].
func (q *Queue) Members(ctx context.Context) (members []queue.Member, err error) {
	err = q.within(ctx, false, func(d *directory) (err error) {
		members, err = d.members(ctx, &q.settings)
		return err
	})
	if errors.Is(err, errNoDirectory) {
		return nil, nil
	}
	return members, q.fail("list the members", err)
}
