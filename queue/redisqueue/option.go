package redisqueue

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue/internal/label"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/clients"
)

const (
	defaultLease = 30 * time.Second
	minimumLease = 10 * time.Millisecond
	minimumGrace = 500 * time.Millisecond
)

// Option changes how a [Queue] behaves. A value that makes no sense is reported by
// the first call that uses the queue.
type Option func(*options) error

type options struct {
	lease time.Duration
	grace time.Duration // 0 without crash detection
	label string
}

// WithLease says how long a ticket is believed without a sign of life from its
// owner: 30 s unless given, at least 10 ms, in whole milliseconds (a fraction is cut
// off); it must be many times as long as a call to the server takes. Package lock renews
// it every third of it. Every value that contends for one name may have its own: it holds
// for the tickets taken through this value, whichever process examines them.
func WithLease(d time.Duration) Option {
	return func(o *options) error {
		if d < minimumLease {
			return fmt.Errorf("lease %v is less than %v: give WithLease a longer time, or leave it out", d, minimumLease)
		}
		o.lease = d.Truncate(time.Millisecond)
		return nil
	}
}

// WithCrashDetection removes the tickets from the line about d after their process has
// ended, however long their lease is: the server notices that its connection has gone. So
// the lease can stay long, and says only how long an owner may be out of touch. It is off
// unless given; d is at least 500 ms and less than half the lease; 1 s is a good value.
//
// The connection is evidence, not the lock. A process that lives and has lost its
// connection shows itself by a script before d is over; if it cannot, its tickets are lost
// nine tenths of d after it last could ([queue.Ticket]'s Lost is closed), so before the
// server gives their place away. While all is well it shows itself every quarter of d. So
// owners are sure to keep their tickets only if a server that is restarted or fails over
// is away for less than half of d. The scripts go through the client's pool: it must have
// a connection to spare within that time, too. If nothing at all answers (a partition, or
// a server that is stopped), the server has closed nothing, evicts nothing, and the lease
// decides as it does without this option. A machine that loses its power closes no
// connection either: the lease decides.
//
// The waiters in front notice it, within half a second, and the one that was the first
// behind the tickets of one process when it last looked. Where more than some twenty
// tickets stood in front of it and not all are of one process, the next one notices at its
// next look, which may be 5 s later (WithBackOff of package lock). A ticket that is the
// first of its process, or the first again after some idle seconds, waits up to 50 ms for
// the connection before it is taken.
//
// One case remains: the server, or a proxy in between, closes the connection of an owner
// that neither hears of it nor reaches the server, or whose PINGs a proxy goes on to
// answer. Then another may own beside it until its lease ends by its own clock. The same
// holds for a process that stands still, for a tenth of d or longer, while its connection
// is closed: until it goes on, and for a quarter of d more if nothing answers it. The
// number of the ticket tells them apart.
//
// Processes with and without the option may stand in one line. It needs the right to HDEL,
// without which each call fails, and to SUBSCRIBE, PUBSUB NUMSUB, INFO, HGET, HSET and HLEN,
// without which the queue works by the lease, and [queue.Member]'s Unseen says so. After a
// restart or a failover of the server it works again as soon as the ticket was refreshed
// there, and some 5 s later if the server of before lives on: so often it is asked whether
// the one that answers sees the process. A Cluster and a Ring are refused: their nodes do
// not tell each other of subscriptions. So is an AutoPipeliner, which does not show what it
// is of.
func WithCrashDetection(d time.Duration) Option {
	return func(o *options) error {
		if d < minimumGrace {
			return fmt.Errorf("crash detection after %v: give WithCrashDetection at least %v, or leave it out", d, minimumGrace)
		}
		o.grace = d
		return nil
	}
}

// WithLabel gives the tickets a text for people, at most 128 bytes on one line:
// [queue.Members] shows it. It decides nothing.
func WithLabel(text string) Option {
	return func(o *options) error {
		o.label = text
		return label.Check(text)
	}
}

// newOptions returns the options of a queue that uses the client.
func newOptions(client redis.UniversalClient, opts []Option) (options, error) {
	o := options{lease: defaultLease}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(&o); err != nil {
			return o, err
		}
	}
	if o.grace == 0 {
		return o, nil
	}
	switch client.(type) {
	case clients.Reloader, clients.Sharded: // a ClusterClient, a Ring, or a wrapper
		return o, errors.New("the nodes of a Cluster or a Ring do not tell each other of subscriptions: leave out WithCrashDetection")
	case *redis.AutoPipeliner:
		return o, errors.New("an AutoPipeliner may be one of a Cluster: give New the client itself, or leave out WithCrashDetection")
	}
	if o.grace >= o.lease/2 {
		return o, fmt.Errorf("crash detection after %v: give WithCrashDetection less than half the lease, which is %v", o.grace, o.lease)
	}
	return o, nil
}
