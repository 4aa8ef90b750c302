package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/queuetest"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// neverDown is longer than any test: no node is held to be down.
const neverDown = time.Minute

func TestConformanceCluster(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	client := redistest.StartCluster(t, false, neverDown).Client()
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return redisqueue.New(client, redistest.Name(t))
	})
}

// A client that reads from replicas where it can does not do so here.
func TestConformanceClusterOfReplicas(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	cluster := redistest.StartCluster(t, true, neverDown)
	client := cluster.Client(func(o *redis.ClusterOptions) { o.ReadOnly, o.RouteRandomly = true, true })
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return redisqueue.New(client, redistest.Name(t))
	})
}

// A waiter is told although it listens at another node than the one that has the
// queue.
func TestGrantAcrossNodes(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	cluster := redistest.StartCluster(t, false, neverDown)
	name := redistest.Name(t)
	home := cluster.Place(cluster.Slot("{" + name + "}:queue"))
	near := redisqueue.New(cluster.Client(), name)
	far := near
	for cluster.Place(cluster.Slot("fifolock:"+redisqueue.NotifierID(far))) == home {
		far = redisqueue.New(cluster.Client(), name)
	}
	for range 10 {
		holder := mustRegister(t, near)
		listening(t, far)
		next := mustRegister(t, far)
		wake, stop := watch(t, far, next)
		mustRelease(t, near, holder)
		wantOwner(t, far, next, wake)
		stop()
		mustRelease(t, far, next)
	}
}

// Calls that leave together for two nodes of a Cluster, or two shards of a Ring, are two
// calls: a node that hangs holds up those to the other for no moment.
func TestTogetherBesideAHangingNode(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	test := func(t *testing.T, client redis.UniversalClient, hanging *redistest.Server, isThere func(name string) bool) {
		var names [2]string // the second is where the server hangs
		for names[0] == "" || names[1] == "" {
			name := redistest.Name(t)
			if isThere(name) {
				names[1] = name
			} else {
				names[0] = name
			}
		}
		var queues [2]*redisqueue.Queue
		var tickets [2]queue.Ticket
		for i, name := range names {
			queues[i] = redisqueue.New(client, name)
			tickets[i] = mustRegister(t, queues[i])
		}
		hanging.Pause()
		t.Cleanup(hanging.Resume)
		done := [2]chan error{make(chan error, 1), make(chan error, 1)}
		gather(queues[0], 2, func(i int) { done[i] <- queues[i].Refresh(t.Context(), tickets[i]) })()
		select {
		case err := <-done[0]:
			if err != nil {
				t.Errorf("Refresh where the server answers: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("Refresh where the server answers waits for the one that hangs")
		}
		hanging.Resume()
		if err := <-done[1]; err != nil {
			t.Errorf("Refresh where the server hung: %v", err)
		}
	}
	t.Run("Cluster", func(t *testing.T) {
		cluster := redistest.StartCluster(t, false, neverDown)
		client := cluster.Client(func(o *redis.ClusterOptions) { o.ReadTimeout = neverDown })
		test(t, client, cluster.Primaries[0], func(name string) bool {
			return cluster.Place(cluster.Slot("{"+name+"}:queue")) == 0
		})
	})
	t.Run("Ring", func(t *testing.T) {
		shards := map[string]*redistest.Server{"one": redistest.StartServer(t), "two": redistest.StartServer(t)}
		ring := redis.NewRing(&redis.RingOptions{
			Addrs:              map[string]string{"one": shards["one"].Addr, "two": shards["two"].Addr},
			HeartbeatFrequency: neverDown, ReadTimeout: neverDown,
		})
		t.Cleanup(func() { _ = ring.Close() })
		test(t, ring, shards["one"], func(name string) bool {
			shard, err := ring.GetShardClientForKey("{" + name + "}:")
			if err != nil {
				t.Fatal(err)
			}
			return shard.Options().Addr == shards["one"].Addr
		})
	})
}

// A client that knows no node asks for them, for as long as that takes: not once for each
// of the calls that leave together.
func TestTogetherWhereTheClusterIsAway(t *testing.T) {
	const n = 50
	var asked atomic.Int64
	returned := make(chan int64, n) // how often it had asked when their pipeline returned
	client := redis.NewClusterClient(&redis.ClusterOptions{
		MaxRedirects: -1,
		ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
			asked.Add(1)
			return nil, errors.New("away")
		},
	})
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(afterPipeline(func() { returned <- asked.Load() }))
	failed := make(chan error, n)
	gather(redisqueue.New(client, "none"), n, func(i int) {
		_, err := redisqueue.New(client, fmt.Sprint("line", i)).Register(t.Context())
		failed <- err
	})()
	if times := <-returned; times == 0 || times >= n {
		t.Errorf("the client has asked %d times", times)
	}
	for range n {
		if err := <-failed; err == nil {
			t.Error("a ticket of a Cluster that is away")
		}
	}
}

// afterPipeline is a hook that is called when a pipeline has returned.
type afterPipeline func()

func (afterPipeline) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (afterPipeline) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (f afterPipeline) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		defer f()
		return next(ctx, commands)
	}
}

// openSlot is a queue with a slot on its way from one node to another.
type openSlot struct {
	*redistest.Cluster
	t        *testing.T
	slot     int
	from, to int
}

func openSlotOf(t *testing.T, cluster *redistest.Cluster, name string) *openSlot {
	t.Helper()
	s := &openSlot{Cluster: cluster, t: t, slot: cluster.Slot("{" + name + "}:queue")}
	s.from = cluster.Place(s.slot)
	s.to = (s.from + 1) % len(cluster.Primaries)
	if err := cluster.OpenSlot(t.Context(), s.slot, s.from, s.to); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *openSlot) move(keys ...string) {
	s.t.Helper()
	for _, key := range keys {
		if err := s.MoveKey(s.t.Context(), key, s.from, s.to); err != nil {
			s.t.Fatal(err)
		}
	}
}

// close lets the slot arrive.
func (s *openSlot) close() {
	s.t.Helper()
	if err := s.MoveSlot(s.t.Context(), s.slot, s.from, s.to, nil); err != nil {
		s.t.Fatal(err)
	}
}

// While a slot moves, some keys of a queue are here and the others there. A living ticket
// keeps its place then, whatever call is made, and whichever keys are where.
func TestSlotHalfMoved(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	cluster := redistest.StartCluster(t, false, neverDown)
	client := cluster.Client()
	taken := make(map[int]bool) // slots: each is moved once
	for moved := range 1 << 4 {
		name := redistest.Name(t)
		for taken[cluster.Slot("{"+name+"}")] {
			name = redistest.Name(t)
		}
		taken[cluster.Slot("{"+name+"}")] = true
		t.Run(fmt.Sprintf("%04b", moved), func(t *testing.T) {
			t.Parallel()
			q := redisqueue.New(client, name)
			first, second := mustRegister(t, q), mustRegister(t, q)
			slot := openSlotOf(t, cluster, name)
			for i, key := range []string{"{" + name + "}:queue", "{" + name + "}:seq", leaseKey(name, first), leaseKey(name, second)} {
				if moved&(1<<i) != 0 {
					slot.move(key)
				}
			}
			if _, _, err := q.TryRegister(t.Context()); err == nil {
				t.Error("TryRegister: no error while the slot moves")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 4*shortly) // it would wait
			defer cancel()
			if ticket, err := q.Register(ctx); err == nil {
				t.Errorf("Register returned %v while the slot moves", ticket)
			}
			// Each may fail, because not all keys are at one place.
			for range 2 {
				if place, err := q.Position(t.Context(), second); err == nil && place.Ahead != 1 {
					t.Errorf("the second is told that %d are ahead", place.Ahead)
				}
				if head, err := q.IsHead(t.Context(), first); err == nil && !head {
					t.Error("the first is told that it is not the head")
				}
				for what, err := range map[string]error{
					"CleanupStale": q.CleanupStale(t.Context()),
					"Refresh":      errors.Join(q.Refresh(t.Context(), second), q.Refresh(t.Context(), first)),
				} {
					if errors.Is(err, queue.ErrNotQueued) {
						t.Errorf("%s: %v", what, err)
					}
				}
				if empty, err := q.IsEmpty(t.Context()); err == nil && empty {
					t.Error("the queue is said to be empty")
				}
				q.MaybeCleanup(t.Context())
			}
			slot.close()
			members, err := q.Members(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			tickets := []string{first.Member, second.Member}
			if !slices.EqualFunc(members, tickets, func(m queue.Member, ticket string) bool { return m.Ticket.Member == ticket }) {
				t.Errorf("in line are %v; want %v", members, tickets)
			}
			mustRelease(t, q, first)
			mustRelease(t, q, second)
		})
	}
}

// The last ticket leaves while its slot is about to move, and all keys are still in one
// place: a command about a key that is not there is refused then, also in a script that
// has written already.
func TestReleaseWhileTheSlotIsOpen(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	cluster := redistest.StartCluster(t, false, neverDown)
	client := cluster.Client()
	for what, before := range map[string]func(name string) error{
		"alone": func(string) error { return nil },
		"a foreign entry": func(name string) error {
			return client.ZAdd(t.Context(), "{"+name+"}:queue", redis.Z{Score: 1, Member: "foreign"}).Err()
		},
		"seq ahead of the clock": func(name string) error {
			return client.Set(t.Context(), "{"+name+"}:seq", time.Now().Add(time.Hour).UnixMicro(), time.Hour).Err()
		},
	} {
		t.Run(what, func(t *testing.T) {
			name := redistest.Name(t)
			q := redisqueue.New(client, name)
			ticket := mustRegister(t, q)
			if err := before(name); err != nil {
				t.Fatal(err)
			}
			slot := openSlotOf(t, cluster, name)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // it is tried again until then
			defer cancel()
			if err := queue.Release(ctx, q, ticket); err != nil {
				t.Errorf("Release: %v", err)
			}
			slot.close()
			if err := q.Refresh(t.Context(), ticket); !errors.Is(err, queue.ErrNotQueued) {
				t.Errorf("Refresh of the ticket: %v, want that it is not in line", err)
			}
		})
	}
}

// No call can join or leave while the slot moves. It waits, and nothing is done by
// halves.
func TestSlotMovesForAWhile(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	cluster := redistest.StartCluster(t, false, neverDown)
	name := redistest.Name(t)
	q := redisqueue.New(cluster.Client(), name)
	first := mustRegister(t, q)
	slot := openSlotOf(t, cluster, name)
	slot.move("{" + name + "}:seq")

	ended, cancel := context.WithTimeout(t.Context(), 4*shortly)
	defer cancel()
	givenUp := make(chan error, 1)
	go func() {
		_, err := q.Register(ended)
		givenUp <- err
	}()
	joining, leaving := make(chan queue.Ticket, 1), make(chan error, 1)
	go func() {
		ticket, err := q.Register(t.Context())
		if err != nil {
			t.Error(err)
		}
		joining <- ticket
	}()
	go func() { leaving <- q.Release(t.Context(), first) }()
	<-ended.Done()
	time.Sleep(4 * shortly) // longer than go-redis follows redirections
	select {
	case ticket := <-joining:
		t.Errorf("Register returned %v; want that it waits for the slot", ticket)
	case err := <-leaving:
		t.Errorf("Release returned %v; want that it waits for the slot", err)
	default:
	}
	slot.close()
	if err := <-leaving; err != nil {
		t.Error(err)
	}
	second := <-joining
	if err := <-givenUp; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Register returned %v after its ctx had ended", err)
	}
	members, err := q.Members(t.Context())
	if err != nil || len(members) != 1 || members[0].Ticket.Member != second.Member {
		t.Errorf("in line are %v, %v; want only %v", members, err, second)
	}
	mustRelease(t, q, second)
}

// The node at which a client listens fails. Its replica takes its place, and the
// client listens there, although nothing else has told it: the queue is at a node
// that is well.
func TestWatchFindsTheNewPrimary(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	cluster := redistest.StartCluster(t, true, neverDown)
	name := redistest.Name(t)
	home := cluster.Place(cluster.Slot("{" + name + "}:queue"))
	near := redisqueue.New(cluster.Client(), name)
	listensAt := func(q *redisqueue.Queue) int {
		return cluster.Place(cluster.Slot("fifolock:" + redisqueue.NotifierID(q)))
	}
	far := near
	for listensAt(far) == home {
		far = redisqueue.New(cluster.Client(), name)
	}
	holder := mustRegister(t, near)
	listening(t, far)
	next := mustRegister(t, far)
	wake, _ := watch(t, far, next)
	fails := listensAt(far)
	cluster.Primaries[fails].Kill()
	cluster.SetNodeTimeout(time.Second)
	wantWake(t, wake, queue.WakeHint)
	redistest.AwaitPrimary(t, cluster.Replicas[fails])
	cluster.SetNodeTimeout(neverDown)
	cluster.AwaitState("ok")
	listening(t, far) // again
	mustRelease(t, near, holder)
	wantOwner(t, far, next, wake)
	mustRelease(t, far, next)
}

// Where a Cluster that is down may be read, it is the script's first write that
// is refused. A release asks again then, too, and not in vain.
func TestReleaseInAClusterThatCanOnlyBeRead(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	cluster := redistest.StartCluster(t, false, neverDown)
	for _, server := range cluster.Primaries {
		if err := server.Client().ConfigSet(t.Context(), "cluster-allow-reads-when-down", "yes").Err(); err != nil {
			t.Fatal(err)
		}
	}
	name := redistest.Name(t)
	q := redisqueue.New(cluster.Client(), name)
	held := mustRegister(t, q)
	elsewhere := cluster.Primaries[(cluster.Place(cluster.Slot("{"+name+"}"))+1)%len(cluster.Primaries)]
	elsewhere.Kill()
	cluster.SetNodeTimeout(500 * time.Millisecond)
	cluster.AwaitState("fail")
	if err := q.Refresh(t.Context(), held); err == nil || !strings.Contains(err.Error(), "cluster is down and readonly") {
		t.Fatalf("Refresh: %v; want that the Cluster is down and can be read only", err)
	}
	released := make(chan error, 1)
	go func() { released <- q.Release(t.Context(), held) }()
	select {
	case err := <-released:
		t.Errorf("released while the Cluster was down: %v", err)
		released <- err
	case <-time.After(50 * time.Millisecond): // it asks again
	}
	elsewhere.Start()
	if err := <-released; err != nil {
		t.Error(err)
	}
	cluster.AwaitState("ok")
	wantEmpty(t, q)
}
