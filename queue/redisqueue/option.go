package redisqueue

import (
	"fmt"
	"time"

	"github.com/fifolock/fifolock/queue/internal/label"
)

// Option changes how a [Queue] behaves. A value that makes no sense is reported by
// the first call that uses the queue.
type Option func(*options)

type options struct {
	lease time.Duration
	label string
}

// WithLease says how long a ticket is believed without a sign of life from its
// owner: 30 s unless given, at least 10 ms, in whole milliseconds (a fraction is cut
// off). Package lock renews it every third of it. Every value that contends for one
// name may have its own: it holds for the tickets taken through this value, by
// whichever process they are judged.
func WithLease(d time.Duration) Option {
	return func(o *options) { o.lease = d }
}

// WithLabel gives the tickets a text for people, at most 128 bytes on one line:
// [queue.Members] shows it. It decides nothing.
func WithLabel(text string) Option {
	return func(o *options) { o.label = text }
}

func newOptions(opts []Option) options {
	o := options{lease: defaultLease}
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return o
}

func (o *options) check() error {
	if o.lease < minimumLease {
		return fmt.Errorf("lease %v is less than %v: give WithLease a longer time, or leave it out", o.lease, minimumLease)
	}
	return label.Check(o.label)
}
