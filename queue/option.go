package queue

import (
	"fmt"
	"io/fs"
	"time"
)

// Option changes how [NewFile] and [NewRedis] behave. A value that makes no
// sense, or an option that the kind of queue does not have, is reported by the
// first call that uses the queue.
type Option func(*options)

type options struct {
	staleTimeout    time.Duration
	staleTimeoutSet bool
	fileMode        fs.FileMode
	fileModeSet     bool
}

// WithStaleTimeout says after how long without a sign of life an owner is
// taken for gone. Every value that contends for one name may have its own: it
// holds for the tickets taken through this value, whoever looks at them.
//
// On a [Redis] queue it is the lease of a ticket, 30 s unless given, at least
// 10 ms. Whoever waits or holds through package lock renews it every third of it.
//
// On a [File] queue there is no eviction by age unless this is given: the
// kernel says who is dead, at once and without fail. With it (at least 10 ms,
// and several times the step in which the file system counts), an owner that is
// alive but has not refreshed its ticket for so long (it was stopped, or the
// machine was suspended, or a clock was set) is evicted too. That is the weaker
// contract: use it where a stopped holder must not hold up the line, and check
// the fencing token. It is refused on Windows, where the file of an owner that
// is alive cannot be removed.
func WithStaleTimeout(d time.Duration) Option {
	return func(o *options) { o.staleTimeout, o.staleTimeoutSet = d, true }
}

// WithFileMode lets other users share a [File] queue: its files get these
// permission bits, whatever the umask, and its directory the same with the
// right to search for everyone who may read. Their group is the primary one of
// the process that makes them, or that of the directory above if it has the
// setgid bit; the users of a mode like 0660 must have it in common. Below a
// directory with the sticky bit, only the user who has made the queue's directory
// can remove it, so that it may stay, empty.
//
// Without it files are for their owner alone (0600, the directory 0700), and a
// directory that belongs to another user (but root) or that everybody may write
// to is refused: whoever can write to it can take the lock away, or plant a
// link.
func WithFileMode(mode fs.FileMode) Option {
	return func(o *options) { o.fileMode, o.fileModeSet = mode, true }
}

func newOptions(opts []Option) options {
	var o options
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return o
}

// checkStaleTimeout reports a stale timeout that was given and makes no sense.
func (o *options) checkStaleTimeout(least time.Duration) error {
	if o.staleTimeoutSet && o.staleTimeout < least {
		return fmt.Errorf("stale timeout %v is less than %v: give WithStaleTimeout a longer time, or leave it out", o.staleTimeout, least)
	}
	return nil
}
