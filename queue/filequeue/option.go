package filequeue

import (
	"fmt"
	"io/fs"
	"time"
)

// Option changes how a [Queue] behaves. A value that makes no sense is reported by
// the first call that uses the queue.
type Option func(*options)

type options struct {
	staleTimeout    time.Duration
	staleTimeoutSet bool
	fileMode        fs.FileMode
	fileModeSet     bool
}

// WithStaleTimeout has an owner that is alive, but has not refreshed its ticket for
// so long (it was stopped, or the machine was suspended, or a clock was set),
// evicted too. It holds for the tickets taken through this value, by whichever
// process they are judged.
//
// Without it there is no eviction by age: the kernel says which owners are dead, at
// once and without fail. With it the contract is the weaker one: use it where a
// stopped holder must not hold up the line, and check the fencing token. The
// timeout is at least 10 ms, and should be several times the step in which the file
// system counts. It is refused on Windows, where the file of a living owner cannot
// be removed.
func WithStaleTimeout(d time.Duration) Option {
	return func(o *options) { o.staleTimeout, o.staleTimeoutSet = d, true }
}

// WithFileMode lets other users share the queue: its files get these
// permission bits, whatever the umask, and its directory the same with the
// right to search for everyone who may read. Their group is the primary one of
// the process that makes them, or that of the directory above if it has the
// setgid bit; the users of a mode like 0660 must have it in common. Below a
// directory with the sticky bit, only the user that has made the queue's directory
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
