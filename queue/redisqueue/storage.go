package redisqueue

import (
	"errors"
	"fmt"
	"sync"
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

	// presence shows that the process lives; nil without crash detection.
	presence *notifier.Presence

	// resent has the tokens of tickets whose request was sent more than once: when
	// they have left the line, the other request may still arrive.
	resent sync.Map
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
	s.home.Store(n)
	return n, nil
}

// classify returns the error of a request as the queue knows it.
func (s *storage) classify(err error) error {
	switch {
	case isReply(err):
		return scriptError(err)
	case errors.Is(err, redis.ErrClosed) && s.isClosed():
		return fmt.Errorf("%w: %w", queue.ErrClosed, err)
	}
	return err
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

// presenceText is the presence of the process in a lease made now:
// {run id}/{milliseconds} if the server has seen it, or unseen. It is empty without crash
// detection.
func (s *storage) presenceText() string {
	if s.presence == nil {
		return ""
	}
	return presenceOf(s.presence.Seen())
}

// presenceOf is what a lease says of a process that the server with that run id has seen,
// or none if it is empty.
func presenceOf(run string, grace time.Duration) string {
	if run == "" {
		return unseen
	}
	return fmt.Sprintf("%s/%d", run, grace.Milliseconds())
}

// presenceToKeep is the presence that a refresh writes into a ticket's lease; - leaves it
// as it is: a ticket that was taken through another queue, maybe of another process, is
// shown by that, or not at all.
func (s *storage) presenceToKeep(token string) string {
	if s.presence != nil && s.presence.Has(token) {
		if text := s.presenceText(); text != unseen {
			return text
		}
	}
	return "-"
}
