package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/clients"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

// view is a way to use the line: by the tickets of the queue itself, of which the
// first owns, or by those of [Queue.Share].
type view struct {
	*storage       // nil in the zero Queue
	owners   int   // how many own, of a shared view; 0: one does, exclusively
	err      error // of the arguments
}

// storage is a line in a server. Its views share it.
type storage struct {
	client redis.UniversalClient
	name   string
	lease  time.Duration
	label  string
	prefix string // {name}:
	queue  string // the key of the ZSET
	seq    string // the key of the last number

	senders *senders // the client's
	joining *sender  // of registrations

	// home is the client's notifier. In a Ring every shard has its own; there it is
	// the one of the shard that had the keys when we last looked.
	home atomic.Pointer[notifier.Notifier]

	// before is the one that home was before: of tickets that were taken then. nil if none was.
	before atomic.Pointer[notifier.Notifier]

	// presence shows that the process lives; nil without crash detection.
	presence *notifier.Presence
	grace    time.Duration // of presence
}

// String returns a text like
//
//	redis queue "report"
func (v *view) String() string {
	if v.storage == nil {
		return "redis queue"
	}
	return fmt.Sprintf("redis queue %q", v.name)
}

// lasts is for how many milliseconds the keys that the tickets share last after
// a crash.
func (s *storage) lasts() int64 { return 2 * s.lease.Milliseconds() }

// leaseOf returns a ticket's lease; that of the queue for one that does not say.
func (s *storage) leaseOf(t *queue.Ticket) time.Duration {
	if t.Lease > 0 {
		return t.Lease
	}
	return s.lease
}

func (s *storage) keys() []string { return []string{s.queue, s.seq} }

func (s *storage) ticketKeys(token string) []string {
	return []string{s.queue, s.seq, s.prefix + "lease:" + token}
}

// shardOf returns the shard that has the keys.
func (s *storage) shardOf(ring clients.Sharded) (shard *redis.Client, err error) {
	err = clients.Call(func() (err error) {
		shard, err = ring.GetShardClientForKey(s.prefix)
		return err
	})
	return shard, err
}

// publisher returns the notifier that hears of the line: that of the client, or in a Ring
// that of the shard that has the keys, which changes with the ring's addresses. While all
// shards are down it stays: the request says so, and one that goes on asks again.
func (s *storage) publisher() (*notifier.Notifier, error) {
	ring, ok := s.client.(clients.Sharded)
	if !ok {
		return s.home.Load(), nil
	}
	shard, err := s.shardOf(ring)
	if n := s.home.Load(); err != nil && n != nil && !errors.Is(err, redis.ErrClosed) {
		return n, nil
	}
	if err != nil {
		return nil, s.classify(err)
	}
	n := notifier.Of(shard, tokenOf)
	if before := s.home.Swap(n); before != n {
		s.before.Store(before)
	}
	return n, nil
}

// classify returns the error of a request as the queue knows it.
func (s *storage) classify(err error) error {
	if errors.Is(err, redis.ErrClosed) && s.isClosed() {
		return fmt.Errorf("%w: %w", queue.ErrClosed, err)
	}
	return scriptError(err)
}

// isClosed reports whether the client is closed, after an error that says so. A Ring
// whose addresses change closes the client of a shard, and goes on.
func (s *storage) isClosed() bool {
	ring, ok := s.client.(clients.Sharded)
	if !ok {
		return true
	}
	_, err := s.shardOf(ring)
	return errors.Is(err, redis.ErrClosed)
}

// unseen is the presence of a process that the server has not seen.
const unseen = "?"

// presenceOf is what a lease says of a process that the server with that run id has seen,
// {run id}/{milliseconds}; otherwise if the run id is empty.
func (s *storage) presenceOf(run, otherwise string) string {
	if run == "" {
		return otherwise
	}
	return fmt.Sprintf("%s/%d", run, s.grace.Milliseconds())
}

// presenceToKeep is the presence that a refresh writes into a ticket's lease; - leaves it
// as it is: a ticket that was taken through another queue, maybe of another process, is
// shown by that, or not at all.
func (s *storage) presenceToKeep(token string) string {
	if s.presence != nil && s.presence.Has(token) {
		return s.presenceOf(s.presence.Seen(), "-")
	}
	return "-"
}

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
	client := optionsOf(s.client)
	r.joint = nil // its own script finds out whether it was executed
	last, wait := err, client.newBackOff()
	for retries := 0; ; retries++ {
		if isExecuted(err) {
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
