package redisqueue

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/clients"
)

// attempt sends a request once: by the hash of its script, or by its source where
// the server does not know it yet, or any more. An execution by hash that found no
// script was none.
func (s *storage) attempt(ctx context.Context, r request) (reply, error) {
	sent := time.Now()
	by := &s.senders.free
	switch {
	case r.ordered:
		by = &s.senders.ordered
	case r.joint != nil:
		by = s.joining
	}
	value, err := by.do(ctx, r)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		r.bySource, r.joint = true, nil
		value, err = by.do(ctx, r)
	}
	if err != nil {
		clients.ReloadState(ctx, s.client, err)
		return reply{}, s.classify(err)
	}
	answer, err := r.script.reply(value)
	if err != nil {
		return reply{}, err
	}
	if s.presence != nil {
		s.presence.Answered(sent)
	}
	queue.Evicted(ctx, answer.evicted)
	return answer, nil
}

// send sends a request until it is answered, or p is over, or ctx has ended. lost is
// how often it was sent, and may have been executed, without an answer.
func (s *storage) send(ctx context.Context, p retryPolicy, r request) (answer reply, lost int, err error) {
	began := time.Now()
	answer, err = s.attempt(ctx, r)
	if err == nil || isFinal(err) {
		return answer, 0, err // as nearly always
	}
	client := retryOf(s.client)
	r.joint = nil // its own script finds out whether it was executed
	last, wait := err, client.newBackOff()
	for retries := 0; ; retries++ {
		if !isUnsent(err) && !isRefusal(err) {
			lost++
		}
		if ended := contextError(ctx); ended == nil || !isContextError(err) {
			last = err // the end of ctx says less than the error before
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

// retryPolicy says how long a request is sent again that was refused or not answered.
type retryPolicy struct {
	longest time.Duration // for how long at most, and no more often than the client would
	always  bool          // however often, after any error; otherwise an error that will not pass soon ends it
	passing time.Duration // for how long, however often, while the refusal passes by itself
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

// retry is how a client repeats a request, which the queue does in its place.
type retry struct {
	retries  int
	min, max time.Duration
	tls      bool
}

// retryOf returns the client's options, or go-redis's defaults if it does not
// show any.
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
