//go:build linux

package harness

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// Spec says which queue a worker uses, and how.
type Spec struct {
	Dir  string      // of a file queue
	Mode fs.FileMode // WithFileMode, if not 0

	// Of a queue in Redis: one of these four.
	Addr    string   // host:port of a server
	Primary string   // what the sentinels call the server
	Nodes   []string // of a Cluster
	Shards  []string // of a Ring; the first is called "0", and so on

	Sentinels  []string // that know the Primary
	Name       string   // of the queue there
	DB         int
	Protocol   int           // 2 or 3; 0 is the client's choice
	MaxRetries int           // as in redis.Options: 0 is 3, -1 is none
	Timeout    time.Duration // to read and write, if not 0

	Stale   time.Duration // WithStaleTimeout or WithLease, if not 0
	Crash   time.Duration // WithCrashDetection, if not 0
	Release time.Duration // WithReleaseTimeout, if not 0
	Deaf    bool          // the queue tells no waiter anything: polling alone
}

// File is a queue in a directory.
func File(dir string) Spec { return Spec{Dir: dir} }

// Redis is a queue in a Redis server.
func Redis(addr, name string, lease time.Duration) Spec {
	return Spec{Addr: addr, Name: name, Stale: lease}
}

// Sentinel is a queue in the Redis server that the sentinels call by that name.
func Sentinel(sentinels []string, primary, name string, lease time.Duration) Spec {
	return Spec{Sentinels: sentinels, Primary: primary, Name: name, Stale: lease}
}

// Cluster is a queue in a Redis Cluster.
func Cluster(nodes []string, name string, lease time.Duration) Spec {
	return Spec{Nodes: nodes, Name: name, Stale: lease}
}

// Ring is a queue in one of many Redis servers, which the client chooses.
func Ring(shards []string, name string, lease time.Duration) Spec {
	return Spec{Shards: shards, Name: name, Stale: lease}
}

// Leased reports whether a living owner can lose the lock.
func (s Spec) Leased() bool { return s.Stale > 0 || !s.isFile() }

func (s Spec) isFile() bool { return s.Dir != "" }

// Open returns the queue and a function that closes what it needs.
func (s Spec) Open() (queue.TicketQueue, func()) {
	if s.isFile() {
		var opts []filequeue.Option
		if s.Stale > 0 {
			opts = append(opts, filequeue.WithStaleTimeout(s.Stale))
		}
		if s.Mode != 0 {
			opts = append(opts, filequeue.WithFileMode(s.Mode))
		}
		return filequeue.New(s.Dir, opts...), func() {}
	}
	var opts []redisqueue.Option
	if s.Stale > 0 {
		opts = append(opts, redisqueue.WithLease(s.Stale))
	}
	if s.Crash > 0 {
		opts = append(opts, redisqueue.WithCrashDetection(s.Crash))
	}
	client := s.client()
	return redisqueue.New(client, s.Name, opts...), func() { _ = client.Close() }
}

// mutexOptions are the options of the Mutex itself.
func (s Spec) mutexOptions() []lock.Option {
	var opts []lock.Option
	if s.Release > 0 {
		opts = append(opts, lock.WithReleaseTimeout(s.Release))
	}
	return opts
}

func (s Spec) String() string {
	switch {
	case s.isFile():
		return "file " + s.Dir
	case s.Sentinels != nil:
		return fmt.Sprintf("sentinel %s %s", s.Sentinels, s.Name)
	case s.Nodes != nil:
		return fmt.Sprintf("cluster %s %s", s.Nodes, s.Name)
	case s.Shards != nil:
		return fmt.Sprintf("ring %s %s", s.Shards, s.Name)
	}
	return fmt.Sprintf("redis %s %s", s.Addr, s.Name)
}

// callKey is the key of a call's number in its ctx.
type callKey struct{}

// registry is told about every ticket that a call takes. It sits between the
// Mutex and the queue: a hook of the Mutex would not say which call it was, and
// not tell of a ticket that came after the call had ended.
type registry func(call int64, t queue.Ticket)

func (r registry) note(ctx context.Context, t queue.Ticket, err error) {
	if call, ok := ctx.Value(callKey{}).(int64); ok && err == nil {
		r(call, t)
	}
}

// full is what every queue here can do.
type full interface {
	fmt.Stringer
	queue.TryRegisterer
	queue.Releaser
	queue.Refresher
	queue.Watcher
	queue.Positioner
	queue.Lister
	queue.Sharer
}

// noted is a queue of which the registry is told; what the queue can do, it can do too.
type noted struct {
	full
	registry registry
}

func (q noted) Register(ctx context.Context) (queue.Ticket, error) {
	t, err := q.full.Register(ctx)
	q.registry.note(ctx, t, err)
	return t, err
}

func (q noted) TryRegister(ctx context.Context) (queue.Ticket, bool, error) {
	t, ok, err := q.full.TryRegister(ctx)
	if ok {
		q.registry.note(ctx, t, err)
	}
	return t, ok, err
}

// deaf is a queue in which every wake-up gets lost.
type deaf struct{ noted }

func (deaf) Watch(context.Context, queue.Ticket) (<-chan queue.Wake, func(), error) {
	return make(chan queue.Wake), func() {}, nil
}
