package queue

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// persist calls f until it succeeds, or fails with an answer of the server, or
// ctx ends, or the lease of the ticket that f is about must have run out.
func (r *Redis) persist(ctx context.Context, f func() error) error {
	last := f()
	if last == nil || isAnswer(last) {
		return last // as nearly always, without the machinery
	}
	err := backoff.Retry(func() error {
		last = f()
		if last == nil || isAnswer(last) {
			return permanent(last)
		}
		return last
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
