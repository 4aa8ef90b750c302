// Package redisqueue keeps a ticket queue in a Redis server, for many machines. [Queue] says
// which keys, commands and rights it uses, what the client must allow, and what is not
// promised.
package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/clients"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

// longestName keeps the keys, which every command carries, short.
const longestName = 512

// Queue is a queue in a Redis server (6.2 or later, or Valkey), for many
// machines. It works with a *redis.Client, also one from NewFailoverClient, a
// *redis.ClusterClient, a *redis.Ring, and a *redis.AutoPipeliner.
//
// A Queue may be used by many goroutines at the same time, and there may be
// many for one name, in any number of processes. The zero value does not work, and
// says so; use [New]. It holds nothing that must be closed; the client belongs to
// the caller.
//
// Every method that fails returns a *[queue.Error]. When the client was closed, its
// cause is [queue.ErrClosed], at once; a waiter that listens is woken to find out.
//
// # Keys
//
// The keys of a queue share a hash tag, so that they are in one slot of a
// Cluster:
//
//	{name}:queue          ZSET; an entry is a ticket, {number}:{token}:{ts_ms}
//	                      with the number as its score; ts_ms is when it was
//	                      taken, by the server's clock
//	{name}:seq            the last number given
//	{name}:lease:{token}  exists as long as the owner of the ticket is alive:
//	                      {entry} {lease in ms} {owners} {presence} {pid} {host} {label}
//	{name}:absent         a hash; since when a process is absent (see
//	                      [WithCrashDetection])
//
// The token is the notifier's id (see Wake-ups), a dot, and a random text. owners is
// 0 for a ticket of the queue itself (exclusive), n for one of a view of [Queue.Share]
// (shared). presence is - without crash detection, and ? until the server has seen the
// process. The first in line says of which kind the line is; a ticket of the other kind is
// refused until the line is empty.
//
// Anything else in the ZSET is ignored and kept: once it has been met, the ZSET has
// a time to live of a hundred years. An entry with the token of another is one whose
// owner is gone.
//
// An owner is alive as long as its lease has not run out, by the server's clock
// alone. A lease is made by Register and renewed by Refresh, which package lock
// calls every third of it. Its length is its ticket's own, whoever judges or renews
// it. A lease that lasts for longer than it was made (because that clock was set back,
// or the key has lost its time to live) lasts for that long again from when a look at
// the line finds it among the owners'.
//
// Nothing is left in an empty queue, unless seq is ahead of the server's clock: then
// it stays until a minute after the clock has passed it. What a crash leaves behind runs
// out: a ticket after its lease, the other keys after twice the longest lease, but
// {name}:absent after twice the grace time and a minute. A registration that had to be
// sent again leaves an empty lease key for the time of a lease after its ticket is gone,
// so that the request is refused if it arrives late.
//
// # Commands
//
// Every operation is one Lua script, sent with EVALSHA, and with EVAL where
// the server does not know it. On an empty queue, Register runs EXISTS,
// TIME, SET, ZADD, PEXPIRE, SET, and Release ZRANGE, MGET, TIME, DEL. Behind an owner,
// Register runs EXISTS, ZRANGE, ZREVRANGE, MGET, TIME, PTTL twice, SET, ZADD, SET,
// ZRANK, and Release in front of another ZRANGE, MGET, ZREM, DEL. Each operation
// does a bounded amount of work: the dead are removed a thousand at
// a time, and more than a thousand foreign entries in the way are an error.
//
// A user with an ACL needs
//
//	+evalsha +eval +time +exists +get +mget +set +del +pttl +pexpire
//	+zadd +zrem +zremrangebyrank +zscore +zrank +zrange +zrevrange +zrangebyscore
//	~{name}:*
//
// and for wake-ups +publish +subscribe +ping &fifolock:*. Without them the
// queue works by polling. Crash detection needs +pubsub|numsub +info +hget +hset +hdel
// +hlen as well, and the client of a Cluster +cluster|slots +command. The ACL LOG of the
// server names what is missing; docs/redis.md has all of it in one line to copy.
//
// # Wake-ups
//
// All the queues of one client value share a notifier: one pub/sub connection, opened
// when a ticket has to wait, with crash detection when there is one, and closed when
// none has for a few seconds. (A client value made for each Lock, with Client.WithTimeout
// say, costs a connection each.)
// The script that makes a ticket an owner publishes its entry to the channel
// fifolock:{notifier's id} of its process; a waiter of the caller's own notifier is
// told in the process. The entry has a random part that only the owner and the server
// know: it is the proof. In a Cluster a message is sent to every node, as PUBLISH is:
// one small message for each hand-off between processes.
//
// When the owner of an exclusive line gives it up and the next is a waiter of the same
// notifier, that one is told at once, before the release is sent. Should the answer to
// the release say otherwise, which it does only after a loss of data, the owner is told
// to look (see [queue.Watcher]).
//
// # The client
//
// A request is sent again as often as the client's MaxRetries says (MaxRedirects of a
// ClusterClient), with its backoff, but by the queue: the client itself does not repeat
// it, so that the queue knows whether an answer was lost.
//
// Calls that come while eight of the same client value are under way gather and go
// together as one pipeline. Those that join one exclusive line without crash detection
// gather while one of them is under way, and go as one call of a script, and so do the
// releases of those that hand on in this process, up to 64 of them. A call that comes alone
// goes alone, at once, and none waits for others for longer than 5 ms. To each node of a
// Cluster, or shard of a Ring, goes a pipeline of its own.
//
// A type of the caller's that wraps a client must pass on the methods that tell what
// it is: ReloadState of a ClusterClient, without which the queue is not found again
// for up to a minute when a primary has died, and MasterForKey, without which one node
// that hangs holds up calls to the others; GetShardClientForKey of a Ring, without
// which waiters are not woken, and poll.
//
// Heartbeats and releases go through the client's pool like any command of the
// caller's. Where blocking commands (BLPOP, XREAD BLOCK) or slow ones can use up
// the pool for as long as a lease, tickets are lost: give the queue a client of
// its own. A call of go-redis that got no answer ends with its ReadTimeout, not
// with its ctx (with its deadline only if ContextTimeoutEnabled is set).
// Package lock returns in time all the same, but the goroutine and the
// connection stay until then: leave ReadTimeout at a few seconds.
//
// # What is not promised
//
// At most one ticket is the head on one primary at any instant. When a primary
// fails over, replication that was not acknowledged is lost, and with it
// tickets; when a server loses its data, all of them. The owners get
// [queue.ErrNotQueued]; until they hear of it somebody else may be the head, too. The
// same holds for an owner that was stopped or cut off for longer than its
// lease. Whoever must not have two owners at once lets the storage behind the
// lock check the ticket's number: numbers keep ascending through all of this,
// as long as the server's clock, which they are seeded from when there is no seq
// key (it is lost, or the queue was empty), does not fall behind the last number
// given before. Leases run by that clock, too: set forward, it ends them; set
// back, it lets those of the dead last until somebody looks, and one lease more.
//
// A Ring is weaker. Its keys have no home but the shard that the client holds to
// be the right one: when it finds that shard down, it takes another for it, where
// the queue is empty, and goes back when the shard answers again. The owners of
// tickets in the shard that it leaves get [queue.ErrNotQueued]. Every client finds that
// out for itself, so two that do not see the same shards have two queues of one
// name, each with its head, for as long as they disagree: no lease ends that. The
// numbers then come from the clocks of two servers, and ascend as far as those
// agree. Use a Ring where losing a shard must not stop the work, and two owners
// are caught by the number.
//
// While a slot of a Cluster moves to another node, nobody joins, and nobody is
// evicted, until it has moved; calls may fail, but Register waits for up to half
// a lease. A lease cannot be renewed while the queue's own keys are at both nodes,
// which lasts a moment unless the move is given up half way. When a node is down, a
// ClusterClient is made to look for the one that took its place; one from
// NewFailoverClient is told by the sentinels.
//
// Redis 6.2 needs lua-replicate-commands to be yes, as it is unless it was changed:
// the scripts read the clock before they write.
//
// Nothing is read from a replica. An eviction policy that removes keys without
// being asked (allkeys-*, volatile-*) removes tickets and leases too.
type Queue struct{ view }

// view is a way to use the line: by the tickets of the queue itself, of which the
// first owns, or by those of [Queue.Share].
type view struct {
	*storage       // nil in the zero Queue
	owners   int   // how many own, of a shared view; 0: one does, exclusively
	err      error // what is wrong with the arguments
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

// New returns the queue of that name in the server (or the Cluster) that
// the client is connected to. It does no I/O; a bad argument is reported by the
// first call that uses the queue.
//
// The name may be any string of up to 512 bytes but the empty one, without
// braces.
func New(client redis.UniversalClient, name string, opts ...Option) *Queue {
	o := options{lease: defaultLease}
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	prefix := "{" + name + "}:"
	s := &storage{
		client: client,
		name:   name,
		lease:  o.lease.Truncate(time.Millisecond),
		label:  o.label,
		prefix: prefix,
		queue:  prefix + "queue",
		seq:    prefix + "seq",
	}
	q := &Queue{view{storage: s}}
	if q.err = check(client, name); q.err == nil && len(opts) > 0 {
		q.err = o.check(client)
	}
	if q.err != nil {
		return q
	}
	s.senders = sendersOf(client)
	s.joining = s.senders.ofLine()
	if _, ok := client.(sharded); !ok {
		n := notifier.Of(client, tokenOf)
		s.home.Store(n)
		if o.graceSet {
			s.watchPresence(n, o.grace)
		}
	}
	return q
}

func check(client redis.UniversalClient, name string) error {
	value := reflect.ValueOf(client)
	switch {
	case client == nil || value.Kind() == reflect.Pointer && value.IsNil():
		return errors.New("the client is nil: give New a client, as redis.NewClient returns it")
	case name == "":
		return errors.New("the name is empty: give New the name of what the queue is for")
	case len(name) > longestName:
		return fmt.Errorf("the name has %d bytes: give New one of at most %d", len(name), longestName)
	case strings.ContainsAny(name, "{}"):
		return errors.New("the name contains a brace, which would break the hash tag of the keys: give New a name without { and }")
	}
	return nil
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

// sharded is a client whose keys have homes of their own, as a Ring is.
type sharded interface {
	GetShardClientForKey(key string) (*redis.Client, error)
}

// shardOf returns the shard that has the keys.
func (s *storage) shardOf(ring sharded) (shard *redis.Client, err error) {
	err = clients.Call(func() (err error) {
		shard, err = ring.GetShardClientForKey(s.prefix)
		return err
	})
	return shard, err
}

// publisher returns the notifier that hears of the line: that of the client, or in a Ring
// that of the shard that has the keys, which changes with the ring's addresses.
func (s *storage) publisher() (*notifier.Notifier, error) {
	ring, ok := s.client.(sharded)
	if !ok {
		return s.home.Load(), nil
	}
	shard, err := s.shardOf(ring)
	if err != nil {
		return nil, s.classify(err)
	}
	n := notifier.Of(shard, tokenOf)
	s.home.Store(n)
	return n, nil
}

// operation is one call of a method of a view, from begin to end.
type operation struct {
	*view
	verb     string             // what it does, in words
	ticket   *queue.Ticket      // that it is about; nil if it is about the line
	token    string             // of the ticket, or of the one that it is to take
	notifier *notifier.Notifier // hears of the line
}

// begin is how every operation begins: with what can be said without the server.
func (v *view) begin(ctx context.Context, verb string) (o operation, err error) {
	o = operation{view: v, verb: verb}
	if v.storage == nil {
		return o, errors.New("the Queue was not made by New: use the pointer that New returns")
	}
	if v.err != nil {
		return o, v.err
	}
	if err := ctx.Err(); err != nil {
		return o, err
	}
	o.notifier, err = v.publisher()
	return o, err
}

// beginTicket is begin for an operation on a ticket. A ticket that cannot be
// one of this queue is not in line.
func (v *view) beginTicket(ctx context.Context, verb string, t *queue.Ticket) (operation, error) {
	o, err := v.begin(ctx, verb)
	o.ticket = t
	if err != nil {
		return o, err
	}
	e, err := parseEntry(t.Member)
	if err != nil || e.number != t.Number {
		return o, queue.ErrNotQueued
	}
	o.token = e.token
	return o, nil
}

// end returns what the method returns when err has ended the operation: nil, or a
// *[queue.Error].
func (o *operation) end(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	verb := o.verb
	if o.ticket != nil {
		verb = fmt.Sprintf("%s ticket %d", verb, o.ticket.Number)
	}
	return o.failed(ctx, verb, err)
}

// lasts is for how many milliseconds the keys that the tickets share last after
// a crash.
func (s *storage) lasts() int64 { return 2 * s.lease.Milliseconds() }

func (s *storage) keys() []string { return []string{s.queue, s.seq} }

func (s *storage) ticketKeys(token string) []string {
	return []string{s.queue, s.seq, s.prefix + "lease:" + token}
}
