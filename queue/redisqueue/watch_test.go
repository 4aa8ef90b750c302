package redisqueue_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// shortly is long enough to see that nothing comes.
const shortly = 50 * time.Millisecond

// watch begins to listen, until the test ends or stop is called.
func watch(t *testing.T, q *redisqueue.Queue, ticket queue.Ticket) (wake <-chan queue.Wake, stop func()) {
	t.Helper()
	wake, stop, err := q.Watch(t.Context(), ticket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return wake, stop
}

// listening waits until the subscription of q's client is there, which it is
// when a fresh ticket need not look. It needs a ticket in line.
func listening(t *testing.T, q *redisqueue.Queue) {
	t.Helper()
	for {
		ticket := mustRegister(t, q)
		wake, stop := watch(t, q, ticket)
		quiet := false
		select {
		case <-wake:
		default:
			quiet = true
		}
		stop()
		mustRelease(t, q, ticket)
		if quiet {
			return
		}
		time.Sleep(pause)
	}
}

func wantWake(t *testing.T, wake <-chan queue.Wake, want queue.Wake) {
	t.Helper()
	if got := <-wake; got != want {
		t.Errorf("woken by %v; want %v", got, want)
	}
}

// wantGrant wants attempt to be woken by a grant. A busy machine makes the subscription
// anew, which is a hint before it: then attempt is made again, but where a hint comes each
// time, that is not the reason.
func wantGrant(t *testing.T, attempt func() queue.Wake) {
	t.Helper()
	for range 3 {
		if attempt() == queue.WakeOwner {
			return
		}
		t.Log("a hint came before the grant")
	}
	t.Error("each time a hint comes before the grant")
}

// wantOwner wants a grant. A busy machine makes the subscription anew, which is a hint: what
// was said meanwhile is found by looking.
func wantOwner(t *testing.T, q queue.TicketQueue, ticket queue.Ticket, wake <-chan queue.Wake) {
	t.Helper()
	for <-wake != queue.WakeOwner {
		if place, err := queue.Position(t.Context(), q, ticket); err != nil {
			t.Fatal(err)
		} else if place.Ahead == 0 {
			t.Log("a hint came in place of the grant")
			return
		}
	}
}

// isQuiet reports whether nothing comes, for the attempt of wantGrant. A grant must not.
func isQuiet(t *testing.T, wake <-chan queue.Wake) bool {
	t.Helper()
	select {
	case got := <-wake:
		if got == queue.WakeOwner {
			t.Error("told that it owns")
		}
		return false
	case <-time.After(shortly):
		return true
	}
}

func wantNoWake(t *testing.T, wake <-chan queue.Wake) {
	t.Helper()
	select {
	case got := <-wake:
		t.Errorf("woken by %v; want nothing", got)
	case <-time.After(shortly):
	}
}

// hub returns the id in a ticket's token.
func hub(t *testing.T, ticket queue.Ticket) string {
	t.Helper()
	_, token, _ := strings.Cut(ticket.Member, ":")
	id, _, ok := strings.Cut(token, ".")
	if !ok {
		t.Fatalf("ticket %q has no hub", ticket.Member)
	}
	return id
}

// Only the next one is told, and it is told that it has its turn.
func TestGrantByMessage(t *testing.T) {
	t.Parallel()
	name := redistest.Name(t)
	near, far := redisqueue.New(redistest.Client(t), name), redisqueue.New(redistest.Client(t), name)
	wantGrant(t, func() queue.Wake {
		holder := mustRegister(t, near)
		listening(t, far)
		next, last := mustRegister(t, far), mustRegister(t, far)
		wakeNext, _ := watch(t, far, next)
		wakeLast, _ := watch(t, far, last)
		quiet := isQuiet(t, wakeNext)
		mustRelease(t, near, holder)
		woken := <-wakeNext
		wantHead(t, far, next)
		quiet = isQuiet(t, wakeLast) && quiet
		mustRelease(t, far, last) // not the head: no waiter is told
		if woken == queue.WakeOwner {
			quiet = isQuiet(t, wakeNext) && quiet
		}
		mustRelease(t, far, next)
		if !quiet {
			return queue.WakeHint
		}
		return woken
	})
}

// What happens between Register and Watch is not missed.
func TestGrantBeforeWatch(t *testing.T) {
	name := redistest.Name(t)
	near, far := redisqueue.New(redistest.Client(t), name), redisqueue.New(redistest.Client(t), name)
	holder := mustRegister(t, near)
	listening(t, far)
	next := mustRegister(t, far)
	mustRelease(t, near, holder)
	wake, _ := watch(t, far, next)
	wantOwner(t, far, next, wake)
	mustRelease(t, far, next)
}

// A call that removes the dead tells the one behind them.
func TestGrantByEviction(t *testing.T) {
	name := redistest.Name(t)
	near, far := redisqueue.New(redistest.Client(t), name), redisqueue.New(redistest.Client(t), name)
	client := redistest.Client(t)
	dying := redisqueue.New(client, name)
	for what, evict := range map[string]func(last queue.Ticket) error{
		"CleanupStale": func(queue.Ticket) error { return near.CleanupStale(t.Context()) },
		"Position":     func(last queue.Ticket) error { _, err := near.Position(t.Context(), last); return err },
		"Refresh":      func(last queue.Ticket) error { return near.Refresh(t.Context(), last) },
		"Release":      func(last queue.Ticket) error { return near.Release(t.Context(), last) },
		"Register": func(queue.Ticket) error {
			ticket, err := near.Register(t.Context())
			if err == nil {
				err = near.Release(t.Context(), ticket)
			}
			return err
		},
		"TryRegister": func(queue.Ticket) error { _, _, err := near.TryRegister(t.Context()); return err },
	} {
		t.Run(what, func(t *testing.T) {
			holder := mustRegister(t, near)
			listening(t, far)
			mustRelease(t, near, holder)
			dead := []queue.Ticket{mustRegister(t, dying), mustRegister(t, dying)}
			next, last := mustRegister(t, far), mustRegister(t, near)
			wake, _ := watch(t, far, next)
			for _, ticket := range dead {
				client.Del(t.Context(), leaseKey(name, ticket)) // as if it had run out
			}
			if err := evict(last); err != nil {
				t.Fatal(err)
			}
			wantOwner(t, far, next, wake)
			mustRelease(t, far, next)
			if err := queue.Release(t.Context(), near, last); err != nil && !errors.Is(err, queue.ErrNotQueued) {
				t.Fatal(err)
			}
		})
	}
}

// Nor does it matter how many dead there are: also when they are exactly what one
// call removes.
func TestGrantBehindManyDead(t *testing.T) {
	t.Parallel()
	for _, dead := range []int{999, 1000, 1001, 2000, 2001} {
		t.Run(strconv.Itoa(dead), func(t *testing.T) {
			wantGrant(t, func() queue.Wake {
				client, name := redistest.Client(t), redistest.Name(t)
				near, far := redisqueue.New(client, name), redisqueue.New(redistest.Client(t), name)
				holder := mustRegister(t, near)
				listening(t, far)
				next := mustRegister(t, far)
				wake, _ := watch(t, far, next)
				plantDead(t, client, name, 1, dead-1)
				client.Del(t.Context(), leaseKey(name, holder)) // the last of the dead
				if err := near.CleanupStale(t.Context()); err != nil {
					t.Fatal(err)
				}
				woken := <-wake
				mustRelease(t, far, next)
				return woken
			})
		})
	}
}

// A waiter of the releasing client is told without the server: here the user may not
// publish or subscribe.
func TestGrantDirectly(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := limited(t, server, "silent", "+@all", "~*", "-publish", "-subscribe")
	q := redisqueue.New(client, "direct")
	holder, next := mustRegister(t, q), mustRegister(t, q)
	wake, _ := watch(t, q, next)
	wantWake(t, wake, queue.WakeHint) // there was no subscription when it was registered
	mustRelease(t, redisqueue.New(client, "direct"), holder)
	wantWake(t, wake, queue.WakeOwner)
	wantHead(t, q, next)
	mustRelease(t, q, next)
}

// The first to watch has missed what came before there was a subscription.
func TestWatchLooksFirst(t *testing.T) {
	q := redisqueue.New(redistest.Client(t), redistest.Name(t))
	holder, next := mustRegister(t, q), mustRegister(t, q)
	wake, stop, err := q.Watch(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-wake:
	default:
		t.Error("no Look from a Watch that was not subscribed when the ticket was taken")
	}
	stop()
	stop()
	again, _ := watch(t, q, next)
	select {
	case <-again:
	default:
		t.Error("no Look from a second Watch")
	}
	mustRelease(t, q, next)
	mustRelease(t, q, holder)
}

// A ticket of another client, and one that is gone.
func TestWatchStrangers(t *testing.T) {
	name := redistest.Name(t)
	q, other := redisqueue.New(redistest.Client(t), name), redisqueue.New(redistest.Client(t), name)
	ticket := mustRegister(t, other)
	if wake, stop, err := q.Watch(t.Context(), ticket); !errors.Is(err, errors.ErrUnsupported) || wake != nil {
		t.Errorf("watching another client's ticket: %v, %v; want ErrUnsupported", wake, err)
	} else {
		stop()
	}
	mustRelease(t, other, ticket)
	wake, _ := watch(t, other, ticket)
	wantWake(t, wake, queue.WakeHint)
}

// After a connection that broke every waiter looks, and then is told again.
func TestWatchReconnects(t *testing.T) {
	t.Parallel()
	wantGrant(t, func() queue.Wake {
		server := redistest.StartServer(t)
		near, far := redisqueue.New(server.Client(), "reconnect"), redisqueue.New(server.Client(), "reconnect")
		holder := mustRegister(t, near)
		listening(t, far)
		next := mustRegister(t, far)
		wake, _ := watch(t, far, next)
		wantNoWake(t, wake)
		control := server.Client()
		for range 3 {
			for {
				drain(wake) // of the hint that there is another connection than the one before
				n := control.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Val()
				if n > 1 {
					t.Fatalf("%d connections listen, want 1", n)
				}
				if n == 1 {
					break
				}
				listening(t, far) // a busy machine: it is just being made anew
			}
			wantWake(t, wake, queue.WakeHint) // that it has broken, or that there is another
			listening(t, far)
		}
		return releasedTo(t, near, holder, far, next, wake)
	})
}

// releasedTo releases the ticket of the holder, and the next one when it was woken. It
// returns by what that was, of what came since.
func releasedTo(t *testing.T, near *redisqueue.Queue, holder queue.Ticket, far *redisqueue.Queue, next queue.Ticket, wake <-chan queue.Wake) queue.Wake {
	t.Helper()
	drain(wake)
	mustRelease(t, near, holder)
	woken := <-wake
	mustRelease(t, far, next)
	return woken
}

func drain(wake <-chan queue.Wake) {
	for {
		select {
		case <-wake:
		default:
			return
		}
	}
}

// A server that goes away and comes back.
func TestWatchSurvivesServer(t *testing.T) {
	t.Parallel()
	wantGrant(t, func() queue.Wake {
		server := redistest.StartServer(t, "--appendonly", "yes", "--appendfsync", "always")
		near, far := redisqueue.New(server.Client(), "restart"), redisqueue.New(server.Client(), "restart")
		holder := mustRegister(t, near)
		listening(t, far)
		next := mustRegister(t, far)
		wake, _ := watch(t, far, next)
		server.Kill()
		wantWake(t, wake, queue.WakeHint)
		server.Start()
		listening(t, far)
		return releasedTo(t, near, holder, far, next, wake)
	})
}

// Whatever others publish without knowing the whole entry, it is no grant.
func TestForgedMessages(t *testing.T) {
	t.Parallel()
	name, forger := redistest.Name(t), redistest.Client(t)
	nearClient, farClient := redistest.Client(t), redistest.Client(t)
	near, far := redisqueue.New(nearClient, name), redisqueue.New(farClient, name)
	witnessNear, witnessFar := redisqueue.New(nearClient, name+"2"), redisqueue.New(farClient, name+"2")
	holder := mustRegister(t, near)
	listening(t, far)
	first, second := mustRegister(t, witnessNear), mustRegister(t, witnessFar)
	watchedLast, _ := watch(t, witnessFar, second)
	next := mustRegister(t, far)
	watched, _ := watch(t, far, next)
	unproven := mustRegister(t, far)
	_, stop := watch(t, far, unproven)
	stop()
	watchedAgain, _ := watch(t, far, unproven)
	fields := strings.Split(next.Member, ":")
	messages := []string{
		"", " ", ":", "x", next.Member + " ", next.Member + " guess", next.Member + "\n", " " + next.Member,
		strings.Replace(next.Member, ":", ": ", 1), unproven.Member + " guess", "0" + next.Member, fields[1],
		fields[0] + ":" + fields[1] + ":1", "1:" + fields[1] + ":" + fields[2], strings.ToLower(next.Member),
		fields[0] + ":" + fields[1][:len(fields[1])-1] + ":" + fields[2],
		strings.Repeat("x", 1<<20), next.Member + " " + strings.Repeat("x", 1<<20), "\x00\xff",
	}
	for range 10 {
		pipe := forger.Pipeline()
		for _, message := range messages {
			pipe.Publish(t.Context(), "fifolock:"+hub(t, next), message)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Another queue of the same hub: what was published before has arrived when
	// this has. (It is a Look if the server has cut us off for reading too slowly.)
	mustRelease(t, witnessNear, first)
	<-watchedLast
	for what, wake := range map[string]<-chan queue.Wake{"watched": watched, "watched again": watchedAgain} {
		select {
		case w := <-wake:
			if w == queue.WakeOwner {
				t.Errorf("%s: a forged message is taken for a grant", what)
			}
		default:
		}
	}
	mustRelease(t, witnessFar, second)
	mustRelease(t, near, holder)
	mustRelease(t, far, next)
	mustRelease(t, far, unproven)
}

// A flood of forged messages wakes no waiter.
func TestForgedFlood(t *testing.T) {
	name, forger := redistest.Name(t), redistest.Client(t)
	near, far := redisqueue.New(redistest.Client(t), name), redisqueue.New(redistest.Client(t), name)
	wantGrant(t, func() queue.Wake {
		holder := mustRegister(t, near)
		listening(t, far)
		next := mustRegister(t, far)
		wake, _ := watch(t, far, next)
		pipe := forger.Pipeline()
		for range 10000 {
			pipe.Publish(t.Context(), "fifolock:"+hub(t, next), next.Member+" forged")
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustRelease(t, near, holder)
		woken := <-wake
		mustRelease(t, far, next)
		return woken
	})
}

// However many wait, there is one connection for them.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client()
	var queues []*redisqueue.Queue
	for i := range 10 {
		queues = append(queues, redisqueue.New(client, "one"+strconv.Itoa(i)))
	}
	wakes := make(map[queue.Ticket]<-chan queue.Wake)
	for _, q := range queues {
		mustRegister(t, q)
		for range 10 {
			ticket := mustRegister(t, q)
			wakes[ticket], _ = watch(t, q, ticket)
		}
	}
	listening(t, queues[0])
	list, err := client.Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(list, "\n"); n != 1 {
		t.Errorf("%d connections listen for %d waiters:\n%s", n, len(wakes), list)
	}
}

// The goroutine ends with its client, also when a ticket is still watched.
func TestWatchEndsWithClient(t *testing.T) {
	redistest.NeedReal(t) // a server in the process has goroutines of its own
	addr, name := redistest.Addr(t), redistest.Name(t)
	before := goleak.IgnoreCurrent()
	client := redis.NewClient(&redis.Options{Addr: addr})
	q := redisqueue.New(client, name)
	mustRegister(t, q)
	next := mustRegister(t, q)
	_, stop, err := q.Watch(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	listening(t, q)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	testenv.WantNoGoroutines(t, before)
	stop()
}

// The subscription ends when no ticket has been watched for a while. (TestMain sees that
// its goroutine ends.)
func TestWatchEndsWhenIdle(t *testing.T) {
	testenv.Long(t)
	t.Parallel() // it waits for most of the time
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	holder, next := mustRegister(t, q), mustRegister(t, q)
	_, stop := watch(t, q, next)
	listening(t, q)
	channel := "fifolock:" + hub(t, next)
	subscribers := func() int64 { return client.PubSubNumSub(context.Background(), channel).Val()[channel] }
	for subscribers() != 1 { // a busy machine makes it anew
		time.Sleep(pause)
	}
	stop()
	for subscribers() > 0 {
		time.Sleep(pause)
	}
	// It comes back when it is needed.
	listening(t, q)
	wake, _ := watch(t, q, mustRegister(t, q))
	isQuiet(t, wake)
	mustRelease(t, q, holder)
}

// Nothing is remembered of clients and tickets that are not used any more.
func TestForgets(t *testing.T) {
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	for range 10 {
		a := mustRegister(t, q)
		if n := redisqueue.Waiters(q); n != 1 {
			t.Errorf("%d waiters for one ticket", n)
		}
		b, c := mustRegister(t, q), mustRegister(t, q)
		_, stop := watch(t, q, b)
		mustRelease(t, q, a)
		stop()
		mustRelease(t, q, b)
		mustRelease(t, q, c)
	}
	if n := redisqueue.Waiters(q); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
	known := redisqueue.Notifiers()
	for range 10 {
		client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
		redisqueue.New(client, name)
		_ = client.Close()
	}
	for redisqueue.Notifiers() > known {
		runtime.GC()
		time.Sleep(pause)
	}
	if redisqueue.New(client, name).String() != q.String() || redisqueue.NotifierID(redisqueue.New(client, "x")) != redisqueue.NotifierID(q) {
		t.Error("two queues of one client have two hubs")
	}
}

// The client has changed over to another primary, and the one before is alive: the
// subscription, which the client leaves where it is, follows when messages do not come.
func TestWatchFollowsTheClient(t *testing.T) {
	testenv.Long(t)
	client, after, change := changesOver(t)
	q, other := redisqueue.New(client, "q"), redisqueue.New(after.Client(), "q")
	ticket := mustRegister(t, q)
	watch(t, q, ticket)
	listening(t, q)
	mustRelease(t, q, ticket)

	change()
	channel := "fifolock:" + redisqueue.NotifierID(q)
	for end := time.Now().Add(time.Minute); after.Client().PubSubNumSub(t.Context(), channel).Val()[channel] == 0; {
		if time.Now().After(end) {
			t.Fatal("the subscription is still at the server before")
		}
		holder := mustRegister(t, other)
		next := mustRegister(t, q)
		_, stop := watch(t, q, next)
		mustRelease(t, other, holder)
		wantHead(t, q, next)
		stop()
		mustRelease(t, q, next)
	}
}

// The same where nothing waits, so that no message is missed: the new server hears by
// itself that it does not see the process.
func TestCrashDetectionFollowsTheClient(t *testing.T) {
	testenv.Long(t)
	client, after, change := changesOver(t)
	q := redisqueue.New(client, "q", redisqueue.WithLease(time.Hour), redisqueue.WithCrashDetection(500*time.Millisecond))
	other := redisqueue.New(after.Client(), "q")
	ticket := mustRegister(t, q)
	listening(t, q)
	change()
	mustRegister(t, q)
	for end := time.Now().Add(time.Minute); members(t, other)[0].Unseen; time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("the new server does not see the process: %+v", members(t, other)[0])
		}
	}
	wantNotQueued(t, q.Release(t.Context(), ticket))
}

// A server that refuses to write has not lost sight of the process: the lease decides.
func TestCrashDetectionWhereWritesAreRefused(t *testing.T) {
	testenv.Long(t)
	// A process that gets no processor time for the grace time gives the ticket up with every
	// right; where that is not the reason, it does so with a longer one, too.
	for grace := 500 * time.Millisecond; !keepsWhereWritesAreRefused(t, grace); grace *= 4 {
		if grace > 5*time.Second {
			t.Fatal("the ticket was given up")
		}
		t.Logf("the ticket was given up with a grace time of %v", grace)
	}
}

// keepsWhereWritesAreRefused reports whether a ticket was kept.
func keepsWhereWritesAreRefused(t *testing.T, grace time.Duration) (kept bool) {
	server := redistest.StartServer(t)
	client := server.Client()
	asked := func() int {
		_, calls, _ := strings.Cut(client.Info(t.Context(), "commandstats").Val(), "cmdstat_pubsub|numsub:calls=")
		calls, _, _ = strings.Cut(calls, ",")
		n, _ := strconv.Atoi(calls)
		return n
	}
	q := redisqueue.New(client, "q", redisqueue.WithLease(time.Hour), redisqueue.WithCrashDetection(grace))
	ticket := mustRegister(t, q)
	for members(t, q)[0].Unseen {
		time.Sleep(pause)
	}
	before := asked()
	if before == 0 {
		t.Fatal("the server does not count what is asked of it")
	}
	if err := client.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	lost := false
	for asked() == before && !lost { // a ticket that is lost is not asked for any more
		select {
		case <-ticket.Lost:
			lost = true
		case <-time.After(pause):
		}
	}
	select {
	case <-ticket.Lost:
	case <-time.After(4 * grace):
		kept = true
	}
	if err := client.ConfigSet(t.Context(), "min-replicas-to-write", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if kept {
		mustRelease(t, q, ticket)
	}
	return kept
}

// changesOver returns a client of one server that changes over to another, while the one
// before is alive.
func changesOver(t *testing.T) (client *redis.Client, after *redistest.Server, change func()) {
	before, after := redistest.StartServer(t), redistest.StartServer(t)
	var primary atomic.Pointer[redistest.Server]
	primary.Store(before)
	client = redistest.ClientOf(t, before.Addr, func(o *redis.Options) {
		o.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, primary.Load().Addr)
		}
	})
	return client, after, func() {
		t.Helper()
		primary.Store(after)
		if err := before.Client().Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal").Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// A sign of life is a look at the line, too: it removes the dead in front of a waiter of its
// own process, and may be answered in vain. Then the waiter looks.
func TestLostReplyOfASign(t *testing.T) {
	redistest.NeedReal(t)
	direct, name := redistest.Client(t), redistest.Name(t)
	warm(t, direct)
	near := redisqueue.New(direct, name)
	head := mustRegister(t, near)
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	// With this grace time no sign is sent but the one that is asked for.
	q := redisqueue.New(redistest.ClientOf(t, proxy.Addr), name, redisqueue.WithLease(time.Hour), redisqueue.WithCrashDetection(time.Minute))
	listening(t, q)
	waiter, gone := mustRegister(t, q), mustRegister(t, q)
	wake, _ := watch(t, q, waiter)
	for members(t, near)[1].CrashDetection == 0 {
		time.Sleep(pause)
	}
	mustRelease(t, near, gone)
	if err := direct.Del(t.Context(), leaseKey(name, head)).Err(); err != nil {
		t.Fatal(err)
	}
	proxy.LoseReplies(redisqueue.RefreshHash, 1)
	wantNotQueued(t, q.Release(t.Context(), gone)) // so it asks about the other
	<-wake
	wantHead(t, q, waiter)
	mustRelease(t, q, waiter)
}

// late is a connection on which the rest of a message comes only after a deadline.
type late struct {
	net.Conn
	rest []byte
	gap  bool
}

func (l *late) Read(b []byte) (int, error) {
	if l.gap {
		l.gap = false
		return 0, os.ErrDeadlineExceeded
	}
	if len(l.rest) > 0 {
		n := copy(b, l.rest)
		l.rest = l.rest[n:]
		return n, nil
	}
	n, err := l.Conn.Read(b)
	if _, rest, ok := bytes.Cut(b[:n], []byte("$7\r\nmessage\r\n")); ok && len(rest) > 0 {
		l.rest, l.gap = bytes.Clone(rest), true
		n -= len(rest)
	}
	return n, err
}

// A deadline in the middle of a message puts the connection out of step: what comes of it
// looks like the answer to a ping. It is made anew, so that the owner looks.
func TestMessageInTwoParts(t *testing.T) {
	redistest.NeedReal(t)
	name := redistest.Name(t)
	far := redisqueue.New(redistest.Client(t), name)
	client := redis.NewClient(&redis.Options{
		Addr: redistest.Addr(t),
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return &late{Conn: conn}, err
		},
	})
	t.Cleanup(func() { _ = client.Close() })
	near := redisqueue.New(client, name)
	head := mustRegister(t, far)
	listening(t, near)
	next := mustRegister(t, near)
	wake, _ := watch(t, near, next)
	mustRelease(t, far, head)
	wantWake(t, wake, queue.WakeHint)
	wantHead(t, near, next)
	mustRelease(t, near, next)
}
