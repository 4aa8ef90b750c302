package redisqueue

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"
)

// patience says how long a request is sent again that was refused or not answered.
type patience struct {
	longest time.Duration // for how long at most, and no more often than the client would
	always  bool          // however often, and whatever the error says; otherwise what will not be other soon ends it
	passing time.Duration // for how long, however often, while what refuses it passes by itself
}

// brief is for a request whose caller asks again by itself, or wants to know soon.
var brief = patience{longest: 5 * time.Second}

// goesOn reports whether a request is sent again. few says that it was sent no more often
// yet than the client would send it.
func (p patience) goesOn(err error, few bool, since time.Duration) bool {
	return isPassing(err) && since < p.passing ||
		since < p.longest && (p.always || few && isTransient(err))
}

// sendAgain goes on after the first attempt of send, which began at the given time and
// ended with err.
func (s *storage) sendAgain(ctx context.Context, p patience, r request, began time.Time, err error) (answer reply, lost int, _ error) {
	client := retryOf(s.client)
	r.joint = nil // what may have been executed is for its own script to say
	last, wait := err, client.newBackOff()
	for retries := 0; ; retries++ {
		if !isUnsent(err) && !isRefusal(err) {
			lost++
		}
		if ended := contextError(ctx); ended == nil || !isContextError(err) {
			last = err // that ctx has ended says less than what was before
		}
		if !p.goesOn(err, retries < client.retries, time.Since(began)) || !pause(ctx, wait.NextBackOff()) {
			return reply{}, lost, last
		}
		answer, err = s.attempt(ctx, r)
		if err == nil || isFinal(err) {
			return answer, lost, err
		}
	}
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

// retry is how a client repeats a request, which the queue does in its place.
type retry struct {
	retries  int
	min, max time.Duration
	tls      bool
}

// retryOf returns what the client was told. One that does not say gets go-redis's
// defaults.
func retryOf(client redis.UniversalClient) retry {
	r := retry{retries: 3}
	switch c := client.(type) {
	case interface{ Options() *redis.Options }:
		o := c.Options()
		r = retry{o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.TLSConfig != nil}
	case interface{ Options() *redis.ClusterOptions }:
		o := c.Options()
		r = retry{o.MaxRedirects, o.MinRetryBackoff, o.MaxRetryBackoff, o.TLSConfig != nil}
	case interface{ Options() *redis.RingOptions }:
		o := c.Options()
		r = retry{o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.TLSConfig != nil}
	}
	if r.min <= 0 {
		r.min = 8 * time.Millisecond
	}
	if r.max <= 0 {
		r.max = 512 * time.Millisecond
	}
	return r
}

func (r retry) newBackOff() backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = r.min
	b.MaxInterval = max(r.min, r.max)
	b.MaxElapsedTime = 0
	b.Reset()
	return b
}
