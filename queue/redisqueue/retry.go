package redisqueue

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// persist calls f until it succeeds, or fails for good, or ctx ends, or the
// lease of the ticket that f is about must have run out.
func (r *Queue) persist(ctx context.Context, forGood func(error) bool, f func() error) error {
	last := f()
	if last == nil || forGood(last) {
		return last // as nearly always, without the machinery
	}
	err := backoff.Retry(func() error {
		err := f()
		if err == nil || forGood(err) {
			last = err
			return permanent(err)
		}
		if !errors.Is(err, contextError(ctx)) { // that ctx ended says less than what was before
			last = err
		}
		return err
	}, backoff.WithContext(newRetryBackOff(r.lease), ctx))
	if err == nil {
		return nil
	}
	return last
}

func permanent(err error) error {
	if err == nil {
		return nil
	}
	return backoff.Permanent(err)
}

func newRetryBackOff(longest time.Duration) backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 10 * time.Millisecond
	b.MaxInterval = 500 * time.Millisecond
	b.MaxElapsedTime = longest
	b.Reset()
	return b
}
