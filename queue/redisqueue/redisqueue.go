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
// *redis.ClusterClient, a *redis.Ring, and a *redis.AutoPipeliner of a *redis.Client.
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
// process. The first in line gives the kind of the line; a ticket of the other kind is
// refused until the line is empty.
//
// Anything else in the ZSET is ignored and kept: once it has been met, the ZSET has
// a time to live of a hundred years. An entry with the token of another ticket
// counts as a dead owner's.
//
// An owner is alive as long as its lease has not run out, by the server's clock
// alone. A lease is made by Register and renewed by Refresh, which package lock
// calls every third of it. Its length belongs to the ticket, whichever process
// examines or renews it. A lease with more time left than its length (that clock was
// set back, or the key has lost its time to live) is cut to its length when a look at
// the line finds it among the owners'.
//
// The Release that leaves the queue empty leaves nothing (Remove, and a look that evicts the
// last of the dead, leave seq for a while), unless seq is ahead of the server's clock: then it
// stays until a minute after the clock has passed it. The leavings of a crash run
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
// a time, and more than a thousand entries of other programs in the way are an error.
//
// A user with an ACL needs
//
//	+evalsha +eval +time +exists +get +mget +set +del +pttl +pexpire
//	+zadd +zrem +zremrangebyrank +zscore +zrank +zrange +zrevrange +zrangebyscore
//	~{name}:*
//
// and for wake-ups +publish +subscribe +ping &fifolock:*. Without them the
// queue works by polling. Crash detection needs +pubsub|numsub +info +hget +hset +hdel
// +hlen as well, and the client of a Cluster +cluster|slots +command +asking. A client with
// a DB other than 0 needs +select, one with a ClientName +client|setname, and one of a
// Cluster with ReadOnly, RouteByLatency or RouteRandomly +readonly. The ACL LOG of the
// server names the missing rights; docs/redis.md has the lines to copy.
//
// # Wake-ups
//
// All the queues of one client value share a notifier: one pub/sub connection. It is
// opened when a ticket has to wait, or, with crash detection, when there is a ticket, and
// closed some seconds after the last such ticket. (A client value made for each Lock,
// with Client.WithTimeout say, costs a connection each.) The script that makes a ticket
// an owner publishes its entry to the channel fifolock:{notifier's id} of its process; a
// waiter of the caller's own notifier is told in the process. The entry has a random part
// that only the owner and the server know: it is the proof. In a Cluster a message is
// sent to every node, as PUBLISH is: one small message for each hand-off between
// processes.
//
// When the owner of an exclusive line gives it up and the next is a waiter of the same
// notifier, that one is told at once, before the release is sent. Should the answer to
// the release say otherwise, which it does only after a loss of data, the owner is told
// to look (see [queue.Watcher]).
//
// Processes that go on from one snapshot of a machine share a notifier's id. They are not
// woken by one another, and poll; and while one of them lives, crash detection does not
// notice the end of the other.
//
// # The client
//
// A request that fails is sent again, with the client's backoff, but by the queue: the
// client itself does not repeat it, so that the queue knows whether an answer was lost.
// It is sent again no more often than MaxRetries says (MaxRedirects of a ClusterClient),
// and for no longer than 5 s; a release however often, for a lease; and Register for half a
// lease where it is refused for the moment. A hook of the client's must not send one twice:
// a release would be told as a loss.
//
// While eight calls of a client value are under way, further ones gather and go together as
// one pipeline. Registrations through one Queue in an exclusive line, without crash
// detection, gather while one of them is under way, and go as one call of a script, up to
// 64 of them; so do releases that hand on in this process. A call that comes alone goes
// alone, at once, and what has gathered goes after 5 ms, whatever is under way. To each
// node of a Cluster, or shard of a Ring, goes a pipeline of its own.
//
// A type of the caller's that wraps a client must pass on the methods that identify
// it: ReloadState of a ClusterClient, without which the queue is not found again for
// up to a minute when a primary has died, and MasterForKey, without which one node
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
// At most one ticket is the head on one primary at any instant. When a primary fails
// over, replication that was not acknowledged is lost, and with it tickets; when a
// server loses its data, all of them. The owners get [queue.ErrNotQueued]; until they
// hear of it another ticket may be the head, too. The same holds for an owner that was
// stopped or cut off for longer than its lease. An address that moves to a replica and
// back may bring back a living ticket in front of an owner: this one gets it when the
// other's lease has been renewed, after two heartbeats and the length of that lease at
// most. Where two owners at once are not acceptable, let the storage behind the lock
// check the ticket's number: numbers keep ascending through all of this, as long as the
// server's clock, which they are seeded from when there is no seq key (it is lost, or
// the queue was empty), does not fall behind the last number given before. Leases run
// by that clock, too: set forward, it ends them; set back, it lets those of the dead
// last until the next look at the line, and one lease more.
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
// While a slot of a Cluster moves to another node, no ticket is taken, and none is
// evicted, until it has moved; calls may fail, but Register waits for up to half a
// lease. A lease cannot be renewed while the queue's own keys are at both nodes,
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

// New returns the queue of that name in the server (or the Cluster) that
// the client is connected to. It does no I/O; a bad argument is reported by the
// first call that uses the queue.
//
// The name may be any string of up to 512 bytes but the empty one, without
// braces.
func New(client redis.UniversalClient, name string, opts ...Option) *Queue {
	o, err := newOptions(client, opts)
	if refused := check(client, name); refused != nil {
		err = refused
	}
	prefix := "{" + name + "}:"
	s := &storage{
		client: client,
		name:   name,
		lease:  o.lease,
		label:  o.label,
		prefix: prefix,
		queue:  prefix + "queue",
		seq:    prefix + "seq",
	}
	q := &Queue{view{storage: s, err: err}}
	if err != nil {
		return q
	}
	s.senders = sendersOf(client)
	s.joining = s.senders.ofLine()
	if _, ok := client.(clients.Sharded); !ok {
		n := notifier.Of(client, tokenOf)
		s.home.Store(n)
		if o.grace > 0 {
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

var (
	_ queue.Sharer        = (*Queue)(nil)
	_ queue.TryRegisterer = (*view)(nil)
	_ queue.Releaser      = (*view)(nil)
	_ queue.Refresher     = (*view)(nil)
	_ queue.Watcher       = (*view)(nil)
	_ queue.Positioner    = (*view)(nil)
	_ queue.Lister        = (*view)(nil)
)

// Share returns a view of the line in which the first n own. It offers the same
// optional interfaces as the queue, but [queue.Sharer].
//
// Views with different n may be used side by side: each admits by its own n, which is
// stored with its tickets. Then a wake-up may be missed (a release of a view tells
// those that own by it, and those of other views only as far as they follow without
// a gap), and polling makes up for it: behind owners of another view every 25 ms near the
// head, else within 5 s. Every operation, heartbeats included, looks at all
// n owners, so that its cost grows with n: keep n below a hundred or so (figures are in
// docs/semaphore.md).
func (q *Queue) Share(n int) queue.TicketQueue {
	v := view{storage: q.storage, owners: n, err: q.err}
	if v.err == nil && n < 1 {
		v.err = fmt.Errorf("Share was given %d: give 1 or more", n)
	}
	return &v
}

// watchPresence has the notifier show that the process lives, for the tickets taken
// through this queue.
func (s *storage) watchPresence(n *notifier.Notifier, grace time.Duration) {
	s.grace = grace
	s.presence = n.NewPresence(s.name, grace, notifier.Server{
		Seen: func(ctx context.Context, channel string) (run string, err error) {
			err = clients.Call(func() (err error) {
				run, err = redis.NewScript(seenScript().source).Run(ctx, s.client, []string{s.prefix + "absent"}, n.ID(), channel).Text()
				return err
			})
			return run, err
		},
		Sign: func(ctx context.Context, member, run string, renew bool) error {
			v := &view{storage: s}
			e, err := parseEntry(member)
			if err != nil {
				return err
			}
			r := v.request(positionScript, n.ID(), s.ticketKeys(e.token), member)
			if renew {
				r = v.request(refreshScript, n.ID(), s.ticketKeys(e.token), member, s.presenceOf(run, "-"))
			}
			answer, lost, err := s.send(ctx, brief, r.heardBy(n, s.name)) // the pool may be full of connections that have broken
			if lost > 0 {
				n.Reload(s.name)
			}
			if err != nil {
				return err
			}
			handOn(n, answer)
			if answer.status == statusAgain {
				return nil // more dead do not matter to a sign
			}
			return answer.status.err()
		},
	})
}
