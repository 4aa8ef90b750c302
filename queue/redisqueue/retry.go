package redisqueue

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"
)

// retryPolicy says how long a request is sent again that was refused or not answered.
type retryPolicy struct {
	longest time.Duration // for how long after an error that may pass, and no more often than the client would
	always  bool          // within longest: after any error, however often
	passing time.Duration // for how long after a refusal that passes by itself, however often
}

// brief is for a request whose caller asks again by itself, or wants to know soon.
var brief = retryPolicy{longest: 5 * time.Second}

// goesOn reports whether a request is sent again. few says that it was sent no more often
// yet than the client would send it.
func (p retryPolicy) goesOn(err error, few bool, since time.Duration) bool {
	return isPassing(err) && since < p.passing ||
		since < p.longest && (p.always || few && isTransient(err))
}

// pause waits, and reports whether ctx has let it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// clientOptions are the options of a client that the queue needs: it repeats requests in the
// client's place.
type clientOptions struct {
	retries  int
	min, max time.Duration
	tls      bool
}

// optionsOf returns the client's options, or go-redis's defaults if it does not
// show any.
func optionsOf(client redis.UniversalClient) clientOptions {
	r := clientOptions{retries: 3}
	switch c := client.(type) {
	case interface{ Options() *redis.Options }:
		o := c.Options()
		r = clientOptions{o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.TLSConfig != nil}
	case interface{ Options() *redis.ClusterOptions }:
		o := c.Options()
		r = clientOptions{o.MaxRedirects, o.MinRetryBackoff, o.MaxRetryBackoff, o.TLSConfig != nil}
	case interface{ Options() *redis.RingOptions }:
		o := c.Options()
		r = clientOptions{o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.TLSConfig != nil}
	}
	if r.min <= 0 {
		r.min = 8 * time.Millisecond
	}
	if r.max <= 0 {
		r.max = 512 * time.Millisecond
	}
	return r
}

func (r clientOptions) newBackOff() backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = r.min
	b.MaxInterval = max(r.min, r.max)
	b.MaxElapsedTime = 0
	b.Reset()
	return b
}
