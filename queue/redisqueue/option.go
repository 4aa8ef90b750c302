package redisqueue

import (
	"fmt"
	"time"
)

// Option changes how a [Queue] behaves. A value that makes no sense is reported by
// the first call that uses the queue.
type Option func(*options)

type options struct {
	lease    time.Duration
	leaseSet bool
}

// WithLease says how long a ticket is believed without a sign of life from its
// owner: 30 s unless given, at least 10 ms. Package lock renews it every third of
// it. Every value that contends for one name may have its own: it holds for the
// tickets taken through this value, by whichever process they are judged.
func WithLease(d time.Duration) Option {
	return func(o *options) { o.lease, o.leaseSet = d, true }
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
	return nil
}
