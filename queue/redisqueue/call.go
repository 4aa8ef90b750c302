package redisqueue

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/clients"
)

// command is a script on its way to the server. The client must not send it again by
// itself: an answer to a request that was sent twice means something else, because
// a ticket that is not there may have been removed by the first. So the queue counts.
// The client still repeats what it knows not to have been executed: a request that a
// node of a Cluster has redirected, or that did not get onto the wire.
type command struct {
	*redis.Cmd
	touched *atomic.Bool
}

// NoRetry is asked by the client, its pipelines included.
func (command) NoRetry() bool { return true }

// Args is called when the client writes the command, and maybe before: a command that
// it has not asked for its arguments was not sent.
func (c command) Args() []any {
	c.touched.Store(true)
	return c.Cmd.Args()
}

// errNoAnswer is said of a client that returned without an answer and without an error.
var errNoAnswer = errors.New("the client gave no answer")

// answer returns what the client has made of it.
func (c command) answer() (any, error) {
	value, err := c.Result()
	if value == nil && err == nil {
		err = errNoAnswer
	}
	if err != nil && !isReply(err) && !c.touched.Load() {
		err = unsentError{err}
	}
	return value, err
}

// unsentError is an error of a request that the server has not heard of.
type unsentError struct{ error }

func (e unsentError) Unwrap() error { return e.error }

// request is one call of a script.
type request struct {
	script  *script
	keys    []string
	args    []any
	ordered bool // after those before it, see senders
}

// command returns the request as EVALSHA (with the script's hash) or EVAL (with its
// source).
func (r request) command(ctx context.Context, name, text string) command {
	args := make([]any, 0, 3+len(r.keys)+len(r.args))
	args = append(args, name, text, len(r.keys))
	for _, key := range r.keys {
		args = append(args, key)
	}
	cmd := redis.NewCmd(ctx, append(args, r.args...)...)
	cmd.SetFirstKeyPos(3)
	return command{cmd, new(atomic.Bool)}
}

// attempt sends a request once: by the hash of its script, or by its source where
// the server does not know it yet, or any more. An execution by hash that found no
// script was none.
func (s *storage) attempt(ctx context.Context, r request) (reply, error) {
	sent := time.Now()
	by := &s.senders.free
	if r.ordered {
		by = &s.senders.ordered
	}
	value, err := by.do(ctx, r.command(ctx, "evalsha", r.script.hash))
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		value, err = by.do(ctx, r.command(ctx, "eval", r.script.source))
	}
	if err != nil {
		s.reloadState(ctx, err)
		return reply{}, s.classify(err)
	}
	if s.presence != nil {
		s.presence.Answered(sent)
	}
	answer, err := newReply(value)
	queue.Evicted(ctx, answer.evicted)
	return answer, err
}

// reloadState has the client of a Cluster ask, in the background, which node has
// which slots, after an error that did not come from a node. By itself it does so
// when a node tells it that it is not the one, which a node that is down does
// not, and then once a minute: a lease may be shorter than that.
func (s *storage) reloadState(ctx context.Context, err error) {
	if cluster, ok := s.client.(interface{ ReloadState(context.Context) }); ok && !isReply(err) && ctx.Err() == nil {
		_ = clients.Call(func() error { cluster.ReloadState(ctx); return nil })
	}
}

// patience says how long a request is sent again that was refused or not answered.
type patience struct {
	retries int           // how often at most
	longest time.Duration // and for how long
	passing time.Duration // for how long, however often, while what refuses it passes by itself
	always  bool          // whatever the error says; otherwise what will not be other soon ends it
}

const (
	// briefly is for how long a request is sent again whose caller asks again by
	// itself, or wants to know soon.
	briefly = 5 * time.Second

	forever = math.MaxInt
)

func (p patience) goesOn(err error, retries int, since time.Duration) bool {
	return isPassing(err) && since < p.passing ||
		retries < p.retries && since < p.longest && (p.always || isTransient(err))
}

// send sends a request until it is answered, or p is over, or ctx has ended. lost is
// how often it was sent, and may have been executed, without an answer.
func (s *storage) send(ctx context.Context, p patience, r request) (answer reply, lost int, err error) {
	began := time.Now()
	answer, err = s.attempt(ctx, r)
	if err == nil || isFinal(err) {
		return answer, 0, err // as nearly always, without the machinery
	}
	last, wait := err, s.retry.newBackOff()
	for retries := 0; ; retries++ {
		if !isUnsent(err) && !isRefusal(err) {
			lost++
		}
		if ended := contextError(ctx); ended == nil || !isContextError(err) {
			last = err // that ctx has ended says less than what was before
		}
		if !p.goesOn(err, retries, time.Since(began)) || !pause(ctx, wait.NextBackOff()) {
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

// brief is the patience of what only asks.
func (s *storage) brief() patience {
	return patience{retries: s.retry.retries, longest: briefly}
}

// persistent is the patience of what must be done, for so long.
func persistent(longest time.Duration) patience {
	return patience{retries: forever, longest: longest, always: true}
}

// request is a call of one of the view's scripts. args are those behind the owners
// and the notifier; the last is the presence of the process.
func (v *view) request(script func() *script, notifier string, keys []string, args ...any) request {
	return request{script: script(), keys: keys, args: append(append([]any{v.owners, notifier}, args...), v.presenceText())}
}
