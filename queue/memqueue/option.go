package memqueue

import (
	"fmt"
	"time"

	"github.com/fifolock/fifolock/queue/internal/label"
)

// Option changes how a [Queue] behaves. A value that makes no sense is
// reported by the first call on the queue.
type Option func(*options) error

type options struct {
	lease time.Duration // 0: owners never die
	label string
}

func newOptions(opts []Option) (options, error) {
	var o options
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(&o); err != nil {
			return o, err
		}
	}
	return o, nil
}

// WithLease says for how long a ticket is believed without a Refresh: afterwards
// it is a dead owner's. Without it no owner ever dies.
func WithLease(d time.Duration) Option {
	return func(o *options) error {
		if d <= 0 {
			return fmt.Errorf("WithLease was given %v: give a time above 0", d)
		}
		o.lease = d
		return nil
	}
}

// WithLabel gives a text for people, which [queue.Member] shows beside each ticket. It
// decides nothing. It may have 128 bytes of printable text on one line.
func WithLabel(text string) Option {
	return func(o *options) error {
		o.label = text
		return label.Check(text)
	}
}
