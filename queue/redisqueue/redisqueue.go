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
)

const (
	defaultLease = 30 * time.Second
	minimumLease = 10 * time.Millisecond

	// longestName keeps the keys, which every command carries, short.
	longestName = 512
)

// Queue is a queue in a Queue server (6.2 or later, or Valkey), for many
// machines. It works with a *redis.Client, also one from NewFailoverClient, a
// *redis.ClusterClient and a *redis.Ring.
//
// A Queue may be used by many goroutines at the same time, and there may be
// many for one name, in any number of processes. The zero value does not work;
// use [New]. It holds nothing that must be closed; the client belongs to
// the caller.
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
//	                      {entry} {proof} {lease in ms} {pid} {host}
//
// The token is the hub's id (see queue.Wake-ups), a dot, and a counter. Anything else
// in the ZSET is ignored and kept. An entry with the token of another is one whose
// owner is gone.
//
// An owner is alive as long as its lease has not run out, by the server's clock
// alone. A lease is made by Register and renewed by Refresh, which package lock
// calls every third of it. Its length is its owner's own, whoever judges it.
//
// Nothing is left in an empty queue. What a crash leaves behind runs out: a
// ticket after its lease, the other keys after twice the longest lease. A
// registration that had to be sent again leaves an empty lease key for the time
// of a lease after its ticket is gone, so that the request is refused if it
// arrives late.
//
// # Commands
//
// Every operation is one Lua script, sent with EVALSHA, and with EVAL where
// the server does not know it. On an empty queue, Register runs EXISTS,
// TIME, SET, ZADD, PEXPIRE, SET, and Release ZRANGE, MGET, DEL. Each
// operation does a bounded amount of work: the dead are removed a thousand at
// a time, and more than a thousand foreign entries in the way are an error.
//
// A user with an ACL needs
//
//	+evalsha +eval +time +exists +get +mget +set +del +pttl +pexpire
//	+zadd +zrem +zremrangebyrank +zscore +zrank +zrange +zrevrange +zrangebyscore
//	~{name}:*
//
// and for wake-ups +publish +subscribe +ping &fifolock:*. Without them the
// queue works by polling.
//
// # queue.Wake-ups
//
// All the queues of one client share a hub: one pub/sub connection, opened when
// somebody has to wait and closed when nobody has for a few seconds. Whatever
// makes a ticket the head publishes that to the channel fifolock:{hub id} of
// the ticket's owner, with the proof from its lease. A waiter of the same hub is told in
// the process, without the server. In a Cluster a message is sent to every
// node, as PUBLISH is: one small message for each hand-off between processes.
//
// # The client
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
// Nothing is read from a replica. An eviction policy that removes keys without
// being asked (allkeys-*, volatile-*) removes tickets and leases too.
type Queue struct {
	client redis.UniversalClient
	name   string
	lease  time.Duration
	prefix string // {name}:
	queue  string // the key of the ZSET
	seq    string // the key of the last number
	err    error  // what is wrong with the arguments

	// home is the client's hub. In a Ring every shard has its own; there it is
	// the one of the shard that had the keys when we last looked.
	home atomic.Pointer[hub]

	// overtaken has the tokens of tickets whose request was sent more than
	// once: when they have left the line, the other request may still arrive.
	overtaken sync.Map
}

var (
	_ queue.TryRegisterer = (*Queue)(nil)
	_ queue.Releaser      = (*Queue)(nil)
	_ queue.Refresher     = (*Queue)(nil)
	_ queue.Watcher       = (*Queue)(nil)
	_ queue.Positioner    = (*Queue)(nil)
	_ queue.Lister        = (*Queue)(nil)
)

// New returns the queue of that name in the server (or the Cluster) that
// the client is connected to. It does no I/O; a bad argument is reported by the
// first call that uses the queue.
//
// The name may be any string of up to 512 bytes but the empty one, without
// braces.
func New(client redis.UniversalClient, name string, opts ...Option) *Queue {
	o := newOptions(opts)
	prefix := "{" + name + "}:"
	r := &Queue{
		client: client,
		name:   name,
		lease:  o.lease,
		prefix: prefix,
		queue:  prefix + "queue",
		seq:    prefix + "seq",
	}
	if r.err = checkRedis(client, name, &o); r.err != nil {
		return r
	}
	if _, ok := client.(*redis.Ring); !ok {
		r.home.Store(hubOf(client))
	}
	return r
}

func checkRedis(client redis.UniversalClient, name string, o *options) error {
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
	return o.check()
}

// String returns a text like
//
//	redis queue "report"
func (r *Queue) String() string {
	return fmt.Sprintf("redis queue %q", r.name)
}

// repeat runs a script until it is through with the dead.
func (r *Queue) repeat(ctx context.Context, h *hub, script *redis.Script, keys []string, args ...any) (reply, error) {
	for {
		answer, err := runScript(ctx, r.client, script, nil, keys, args...)
		if err != nil {
			return reply{}, err
		}
		h.deliver(answer.message)
		if answer.status != statusAgain {
			return answer, answer.status.err()
		}
		if err := ctx.Err(); err != nil {
			return reply{}, err
		}
	}
}

// begin is how every operation begins: with what can be said without the server.
func (r *Queue) begin(ctx context.Context) (*hub, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := r.home.Load()
	ring, ok := r.client.(*redis.Ring)
	if !ok {
		return h, nil
	}
	// The shard that has the keys is the one that publishes. It changes with
	// the ring's addresses.
	shard, err := ring.GetShardClientForKey(r.prefix)
	if err != nil {
		return nil, err
	}
	if h == nil || h.client != subscriber(shard) {
		h = hubOf(shard)
		r.home.Store(h)
	}
	return h, nil
}

// beginTicket is begin for an operation on a ticket. A ticket that cannot be
// one of this queue is not in line.
func (r *Queue) beginTicket(ctx context.Context, t queue.Ticket) (*hub, string, error) {
	h, err := r.begin(ctx)
	if err != nil {
		return nil, "", err
	}
	entry, err := parseRedisEntry(t.Member)
	if err != nil || entry.number != t.Number {
		return nil, "", queue.ErrNotQueued
	}
	return h, entry.token, nil
}

// lasts is for how many milliseconds the keys that the tickets share last after
// a crash.
func (r *Queue) lasts() int64 { return 2 * r.lease.Milliseconds() }

func (r *Queue) keys() []string {
	return []string{r.queue, r.seq}
}

func (r *Queue) ticketKeys(token string) []string {
	return []string{r.queue, r.seq, r.prefix + "lease:" + token}
}
