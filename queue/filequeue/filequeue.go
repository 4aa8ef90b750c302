// Package filequeue keeps a ticket queue in a directory, for the processes of one
// machine.
//
//	/run/myapp/report/                     removed with the last ticket, if the queue made it
//	    seq                                the last number given out: 20 digits, newline;
//	                                       then "made" or "kept" (the directory), and the kind
//	    00001767225600000001.4711.0b6e…    a ticket: {number:020d}.{pid}.{uuid}
//	    00001767225600000042.4712.9f31…
//	    new.5c1f…                          a file that is being made
//	/run/myapp/.new.e83b…/                 the directory while it is made, or removed
//
// The lowest number is the head. A ticket's owner holds an exclusive flock on
// the ticket's file for as long as the ticket lives, and the kernel drops it
// when the process is gone, however it went. So a process that can take that flock
// has proof of death. The pid is for people to read; no decision is made on it.
// The file is empty, or says the ticket's stale timeout, its label, and how many may own
// by its terms. The kind of a line is that of its first ticket.
//
// The seq lock is an exclusive flock on seq. It is held to take a number and stand in line,
// and to clean up: for some 30 µs, and for less than that more with each further call that
// gets its ticket with the first. It is waited for by polling, in the order of the calls
// (door.go), because a blocking flock cannot be cancelled. join.go says what holds when
// other programs remove and replace seq. Leaving, looking, evicting the dead and the
// hand-off do not need it.
//
// The next in line is told directly if it is of the process that releases;
// otherwise fsnotify, listening to the one file before it, tells it. Where several own,
// the first that waits listens to all of them. Nothing tells that a process has died. So
// a process whose tickets wait asks every 30 ms, by a timer, whether the locks of the
// owners are free.
//
// Everything in the directory is done through an os.Root, on regular files, and nothing
// is ever truncated when it is opened. gofrs/flock opens by path; so a file that it has
// locked counts only after it was compared with the one that the os.Root has under the
// name.
package filequeue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// Queue is a queue in a directory, for the processes of one machine. Processes
// in different containers that share the directory share the queue.
//
// A Queue may be used by any number of goroutines at once, and any number of
// values, in one process or in many, may be made for one directory. It needs
// no closing: its files (the directory, seq, and one for every ticket) are
// open only while a call, a ticket or a watch needs them.
//
// On a local file system there is at most one living head at any time. A
// ticket lives until it is removed or its process is gone: there is no
// timeout, and nothing to refresh. A process that is stopped, or that gets no
// time, keeps its place, unless [WithStaleTimeout] says otherwise.
//
// What is not promised:
//
//   - Anything on NFS and other network file systems, where flock may be local
//     to each machine, or fail. Use package redisqueue between machines.
//   - That a ticket ends with its process if another one has its descriptor: a
//     child that was forked and has not executed anything, or one that was
//     given it in ExtraFiles. Children of package os/exec do not inherit it.
//   - That a process which uses the directory by two paths (a link, a mount) hears at once
//     of a change: that may take the time of a recheck, 30 ms.
//   - That nothing is left of a process that was killed until another one has used the
//     queue. A directory that it was making or removing is hidden beside the queue's; the
//     next process takes it over or removes it. Where a rename cannot refuse to replace
//     (FUSE, the BSDs), a process that is killed while it makes the directory leaves it,
//     empty, and maybe without the rights of WithFileMode, which another user has not
//     before either. So may one that is killed while another user's leavings keep it from
//     the hidden name.
//   - Protection from programs that remove a ticket's file, which takes the place
//     away, or that remove or move the directory, which takes all of them; so does a
//     chroot of the process. Refresh then says so. Changes to seq alone take no
//     place away, and let no second owner in, except on a file system that notes
//     changes in steps of a second, or before Linux 6.13, for a copy of seq that is
//     put back within one step.
//   - That anything survives a crash of the machine: nothing is synced, since
//     no process that was in line survives it either. The numbers go on from the
//     clock then, as they do when a queue was cleaned up. If the clock was set
//     back as well, they may start lower. A directory whose seq has lost its content
//     stays, empty or with it.
//   - That the directory is removed whose last number is ahead of the clock, because that
//     was set back, or, where the monotonic clock is not slowed with it, slowed: it keeps
//     the numbers from going back, and is removed with the last ticket that is taken after
//     that time has come again. So it is with every directory that is used by a process
//     which has seen that time.
//   - The order of calls that have no ticket yet, of processes that lock without a pause.
//     On Linux they get their tickets in the order in which they came to the directory
//     while it is in use, except for a process that gets no processor time meanwhile. On
//     other systems the order is arbitrary.
//   - Systems other than Linux, macOS, the BSDs and Windows: it does not compile there, where
//     locks end when any descriptor of the file is closed.
//   - Room for more tickets than the process may open files.
//   - That a call gets a ticket while a process is stopped that has seq locked, or is about
//     to remove the directory. It waits, as long as its ctx lets it. Holders are not
//     affected, but on Windows, where a release waits for seq, too.
//   - Speed in a directory with very many other files: it is listed when another
//     process has joined. Nor beside a queue of the same process on a file system that
//     hangs (FUSE): both listen through one watcher.
//   - A hand-off before the kernel has closed the files of a process that was killed:
//     one with many GB of memory takes a while to die.
type Queue struct {
	view
}

// view is a queue in which a number of tickets own: one, or those of Share. Its zero
// value is not usable, and says so.
type view struct {
	settings settings
	err      error // of the arguments; every call returns it
}

var (
	_ queue.TryRegisterer = (*view)(nil)
	_ queue.Releaser      = (*view)(nil)
	_ queue.Refresher     = (*view)(nil)
	_ queue.Watcher       = (*view)(nil)
	_ queue.Positioner    = (*view)(nil)
	_ queue.Lister        = (*view)(nil)
	_ queue.Sharer        = (*Queue)(nil)
)

var errNoNew = errors.New("the Queue was not made by New: use the pointer that New returns")

// New returns the queue that is kept in dir. It does not touch the file
// system: the directory is created by the first Register (with missing directories
// above it), and removed when the line is empty again (but not those above it). A
// directory that was there before stays, with its rights. It is to be the queue's own: a
// short file named seq in it is taken for that of the queue, and written to. A relative
// dir is relative to where the process is now.
func New(dir string, opts ...Option) *Queue {
	s, err := newSettings(dir, opts)
	return &Queue{view{settings: s, err: err}}
}

// Share implements [queue.Sharer].
func (q *Queue) Share(n int) queue.TicketQueue {
	v := &view{settings: q.settings, err: q.err}
	v.settings.owners = n
	if v.err == nil && n < 1 {
		v.err = fmt.Errorf("Share was given %d: give 1 or more", n)
	}
	return v
}

// String returns the kind of queue and its path.
func (q *view) String() string { return fmt.Sprintf("file queue %q", q.settings.path) }

// with calls f with the directory, if there is one, and names the operation and the queue
// in an error.
func (q *view) with(ctx context.Context, operation string, create bool, f func(*call) error) error {
	err := q.call(ctx, create, f)
	if errors.Is(err, errNoDirectory) {
		return nil
	}
	return q.fail(operation, err)
}

// onTicket is with for a call about a ticket. Without a directory no ticket is in
// line.
func (q *view) onTicket(ctx context.Context, operation string, t queue.Ticket, f func(*call) error) error {
	err := q.call(ctx, false, f)
	if err == nil {
		return nil
	}
	if errors.Is(err, errNoDirectory) {
		err = queue.ErrNotQueued
	}
	return q.fail(fmt.Sprintf("%s ticket %d", operation, t.Number), err)
}

// fail is where all errors of this package are made.
func (q *view) fail(operation string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: this user has no right to it: take a directory of your own, or share it with WithFileMode in all programs", err)
	}
	return &queue.Error{Op: operation, Queue: q.String(), Err: err}
}

func (q *view) call(ctx context.Context, create bool, f func(*call) error) error {
	switch {
	case q.err != nil:
		return q.err
	case q.settings.path == "":
		return errNoNew
	}
	return withDirectory(ctx, &q.settings, create, f)
}

const (
	// mostVanished is how often a call starts over because something on the way to the
	// directory was not there.
	mostVanished = 50

	// longestRemoving is how long a call waits while there is an exclusive flock on the
	// directory. For safety it need not wait at all.
	longestRemoving = 40 * time.Millisecond
)

// withDirectory calls f with the directory of the settings, and again with a fresh
// one as long as it is removed or replaced meanwhile. create says that it shall be
// made if it is not there; otherwise the error is errNoDirectory.
func withDirectory(ctx context.Context, s *settings, create bool, f func(*call) error) error {
	var p poll
	vanished := 0
	var removing time.Time // since when; zero if it is not
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		patient := removing.IsZero() || time.Since(removing) < longestRemoving
		err := withDirectoryOnce(ctx, s, create, patient, f)
		switch {
		case errors.Is(err, errDirectoryGone):
		case errors.Is(err, errRemoving):
			if removing.IsZero() {
				removing = time.Now()
			}
		case create && errors.Is(err, fs.ErrNotExist) && vanished < mostVanished:
			vanished++ // a directory above it was removed, or the file system is slow to know
		default:
			return err
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

func withDirectoryOnce(ctx context.Context, s *settings, create, patient bool, f func(*call) error) error {
	d := useDirectory(s.path)
	c := d.call(ctx, s)
	defer func() { queue.Evicted(ctx, append(c.evicted, d.done()...)) }()
	// The error of open may be errDirectoryGone too, if another process was faster to make
	// it. Other calls of this process may have opened that one by now, and have tickets.
	if err := d.open(s, create, patient); err != nil {
		return err
	}
	err := f(c)
	if errors.Is(err, errDirectoryGone) {
		d.invalidate()
	}
	return err
}

// Register implements [queue.TicketQueue]. It fails if the line is used by the other
// kind of lock (see [queue.Sharer]), and if seq or the directory are not such as the queue
// makes them; the error describes them.
func (q *view) Register(ctx context.Context) (t queue.Ticket, err error) {
	err = q.with(ctx, "register", true, func(c *call) (err error) {
		t, _, err = c.register(false)
		return err
	})
	return t, err
}

// TryRegister implements [queue.TryRegisterer].
func (q *view) TryRegister(ctx context.Context) (t queue.Ticket, ok bool, err error) {
	err = q.with(ctx, "try to register", true, func(c *call) (err error) {
		t, ok, err = c.register(true)
		return err
	})
	return t, ok, err
}

// IsHead implements [queue.TicketQueue]. It is for tickets that were taken through the
// path of this queue by this process; so are Position, Refresh and Watch. For another
// one they return an error that says so, or ErrNotQueued if it is not in line.
func (q *view) IsHead(ctx context.Context, t queue.Ticket) (bool, error) {
	var place queue.Place
	err := q.onTicket(ctx, "look for the head with", t, func(c *call) (err error) {
		place, _, err = c.look(t)
		return err
	})
	return err == nil && place.Ahead == 0, err
}

// Position implements [queue.Positioner]. The number is exact if it is 0 or 1. It fails
// when the disk has failed, or the file system has become read-only: those in
// front could not leave any more.
func (q *view) Position(ctx context.Context, t queue.Ticket) (place queue.Place, err error) {
	err = q.onTicket(ctx, "look for the position of", t, func(c *call) (err error) {
		place, err = c.position(t)
		return err
	})
	return place, err
}

// Remove implements [queue.TicketQueue]. If the ticket's file cannot be removed (the
// directory is read-only), it returns the error, but the ticket is as good as
// out of the line: its owner shows to be gone.
//
// A ticket of this process leaves the line also when ctx has ended: nothing need
// be waited for, and without a stale timeout nothing else would ever end it while
// the process lives. One of another process can be removed too.
func (q *view) Remove(ctx context.Context, t queue.Ticket) error {
	return q.onTicket(context.WithoutCancel(ctx), "remove", t, func(c *call) error {
		_, err := c.remove(t)
		return err
	})
}

// Release implements [queue.Releaser]. Its error is that of removing the ticket; see
// Remove.
func (q *view) Release(ctx context.Context, t queue.Ticket) error {
	return q.onTicket(context.WithoutCancel(ctx), "release", t, func(c *call) error {
		return c.release(t)
	})
}

// Refresh implements [queue.Refresher]. It notices that the ticket was removed, that
// the directory was removed or moved, and that the lock on the ticket's file
// was lost because other code has closed its descriptor. A ticket that was not
// refreshed for its stale timeout is lost too, whether or not it was evicted yet.
func (q *view) Refresh(ctx context.Context, t queue.Ticket) error {
	return q.onTicket(ctx, "refresh", t, func(c *call) error { return c.refresh(t) })
}

// Watch implements [queue.Watcher]. queue.WakeOwner comes only from a ticket of this
// process; another process gives hints, and so does the death of one, within 40 ms.
func (q *view) Watch(ctx context.Context, t queue.Ticket) (wake <-chan queue.Wake, stop func(), err error) {
	stop = func() {}
	err = q.onTicket(ctx, "watch", t, func(c *call) error {
		w, s, err := c.watch(t)
		if err == nil {
			wake, stop = w, s
		}
		return err
	})
	return wake, stop, err
}

// CleanupStale implements [queue.TicketQueue].
func (q *view) CleanupStale(ctx context.Context) error {
	return q.with(ctx, "remove stale tickets", false, func(c *call) error { return c.cleanupStale() })
}

// IsEmpty implements [queue.TicketQueue].
func (q *view) IsEmpty(ctx context.Context) (bool, error) {
	used := false
	err := q.with(ctx, "see whether it is empty", false, func(c *call) error {
		empty, err := c.isEmpty()
		used = err == nil && !empty // the directory may vanish, and then this is called no more
		return err
	})
	return err == nil && !used, err
}

// MaybeCleanup implements [queue.TicketQueue].
func (q *view) MaybeCleanup(ctx context.Context) {
	_ = q.with(ctx, "clean up", false, func(c *call) error {
		c.cleansUp.Store(true)
		return nil
	})
}

// Members implements [queue.Lister]. Host is empty: all are on this machine, and which
// container of it a PID is of a file does not tell.
func (q *view) Members(ctx context.Context) (members []queue.Member, err error) {
	err = q.with(ctx, "list the members", false, func(c *call) (err error) {
		members, err = c.members()
		return err
	})
	return members, err
}
