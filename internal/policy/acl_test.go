package policy

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// TestACL gives a user the rights that docs/redis.md lists, and does with them all
// that can be done. The server's log has what was denied.
func TestACL(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	page := read(t, "docs/redis.md")
	lines := regexp.MustCompile(`(?m)^ACL SETUSER fifolock on >secret (.*)$`).FindAllStringSubmatch(page, -1)
	if len(lines) != 2 {
		t.Fatal("docs/redis.md does not have two lines ACL SETUSER: one for a server, one for the nodes of a Cluster")
	}
	t.Run("crash detection", func(t *testing.T) {
		t.Parallel()
		testACL(t, lines[0][1], nil, redisqueue.WithCrashDetection(500*time.Millisecond))
	})
	further := furtherRights(page)
	t.Run("another database, and a name", func(t *testing.T) {
		t.Parallel()
		change := func(o *redis.Options) { o.DB, o.ClientName = 1, "myapp" }
		testACL(t, lines[0][1]+further, change, redisqueue.WithCrashDetection(500*time.Millisecond))
	})
	t.Run("a node of a Cluster, as if it were alone", func(t *testing.T) {
		t.Parallel()
		testACL(t, lines[1][1], nil)
	})
	t.Run("a Cluster with a slot that moves", func(t *testing.T) {
		t.Parallel()
		testACLOfMovingSlot(t, lines[1][1], nil)
	})
	t.Run("a Cluster with replicas to read from, and a name", func(t *testing.T) {
		t.Parallel()
		testACLOfMovingSlot(t, lines[1][1]+further, func(o *redis.ClusterOptions) { o.ReadOnly, o.ClientName = true, "myapp" })
	})
}

// furtherRights are those that the page names for options of the client, each behind a
// space.
func furtherRights(page string) (rights string) {
	item := regexp.MustCompile("(?m)^\\* `\\+[a-z|]+` for a .*(\n  .*)*").FindString(page)
	for _, right := range regexp.MustCompile("`(\\+[a-z|]+)`").FindAllStringSubmatch(item, -1) {
		rights += " " + right[1]
	}
	return rights
}

// testACLOfMovingSlot releases a lock when its keys have moved, and the slot has not.
func testACLOfMovingSlot(t *testing.T, rights string, change func(*redis.ClusterOptions)) {
	cluster := redistest.StartCluster(t, false, time.Minute)
	for _, node := range cluster.Primaries {
		giveRights(t, node.Client(), rights)
	}
	user := cluster.Client(func(o *redis.ClusterOptions) {
		o.Username, o.Password = "fifolock", "secret"
		if change != nil {
			change(o)
		}
	})
	m := lock.New(redisqueue.New(user, "report"))
	if err := m.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	slot := cluster.Slot("{report}:queue")
	from := cluster.Place(slot)
	to := (from + 1) % len(cluster.Primaries)
	if err := cluster.OpenSlot(t.Context(), slot, from, to); err != nil {
		t.Fatal(err)
	}
	for _, key := range redistest.Keys(t, cluster.Primaries[from].Client(), "report") {
		if err := cluster.MoveKey(t.Context(), key, from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Unlock(); err != nil {
		t.Error(err)
	}
	for _, node := range cluster.Primaries {
		wantNothingDenied(t, node.Client())
	}
}

func giveRights(t *testing.T, admin *redis.Client, rights string) {
	t.Helper()
	args := []any{"ACL", "SETUSER", "fifolock", "on", ">secret"}
	for _, right := range strings.Fields(rights) {
		args = append(args, right)
	}
	if err := admin.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

func testACL(t *testing.T, rights string, change func(*redis.Options), options ...redisqueue.Option) {
	server := redistest.StartServer(t)
	giveRights(t, server.Client(), rights)

	// Where the machine is so busy that the holder's lease ran out, again with a longer one.
	for lease := 2 * time.Second; !useEverything(t, server, lease, change, options...); lease *= 3 {
		t.Logf("a lease of %v ran out", lease)
		if lease > 10*time.Second {
			t.Fatal("whatever the lease is, it runs out")
		}
	}

	wantNothingDenied(t, server.Client())
}

func wantNothingDenied(t *testing.T, admin *redis.Client) {
	t.Helper()
	denied, err := admin.ACLLog(t.Context(), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range denied {
		if command, _, _ := strings.Cut(entry.Object, "|"); command == "client" {
			continue // go-redis tells about itself where it can, as the page says
		}
		t.Errorf("the page's rights leave out %s %q", entry.Reason, entry.Object)
	}
}

// awaitRenewed waits until two are in line, the first has renewed its lease since then,
// and so many connections listen for wake-ups. It reports false if lost is closed: then
// there may never be two again.
func awaitRenewed(t *testing.T, admin *redis.Client, subscribed int, lost <-chan struct{}) bool {
	t.Helper()
	line := redisqueue.New(admin, "report")
	var seen time.Time
	for ; ; time.Sleep(time.Millisecond) {
		members, err := line.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-lost:
			return false
		default:
		}
		if len(members) < 2 {
			continue
		}
		if seen.IsZero() {
			seen = members[0].LastSeen
		}
		list, err := admin.Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
		if err != nil {
			t.Fatal(err)
		}
		if members[0].LastSeen.After(seen) && strings.Count(list, "id=") >= subscribed {
			return true
		}
	}
}

// useEverything does all that can be done with a queue, as the user. It reports false if
// the lease of a holder ran out before all was done.
func useEverything(t *testing.T, server *redistest.Server, lease time.Duration, change func(*redis.Options), options ...redisqueue.Option) bool {
	t.Helper()
	ctx := t.Context()
	options = append(options, redisqueue.WithLease(lease))
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	lost := false
	ended := func(err error) { // of a hold
		t.Helper()
		if errors.Is(err, lock.ErrLost) {
			lost = true
			return
		}
		check(err)
	}
	if change == nil {
		change = func(*redis.Options) {}
	}
	newQueue := func() (*redisqueue.Queue, *redis.Client) {
		client := server.Client(func(o *redis.Options) { o.Username, o.Password = "fifolock", "secret" }, change)
		return redisqueue.New(client, "report", options...), client
	}
	first, _ := newQueue()
	second, client := newQueue()

	// One client holds for long enough to renew its lease, and to let the other
	// open its connection for wake-ups; then it hands over.
	m, other := lock.New(first), lock.New(second)
	if err := m.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- other.Do(ctx, func(context.Context) error { return nil }) }()
	subscribed := 1
	if len(options) > 1 { // with crash detection the holder has one, too
		subscribed++
	}
	if !awaitRenewed(t, server.Client(change), subscribed, m.Lost()) {
		ended(m.Unlock())
		ended(<-done)
		return false
	}
	_, err := lock.New(first).TryLock(ctx)
	check(err)
	_, err = first.Members(ctx)
	check(err)
	_, err = first.IsEmpty(ctx)
	check(err)
	ended(m.Unlock())
	ended(<-done)

	// A ticket that is not kept alive is evicted, and an empty queue removed.
	_, err = second.Register(ctx)
	check(err)
	check(m.Lock(ctx))
	check(first.CleanupStale(ctx))
	ended(m.Unlock())
	first.MaybeCleanup(ctx)

	// What has ended its connections is evicted, too.
	_, err = second.Register(ctx)
	check(err)
	check(client.Close())
	check(m.Lock(ctx))
	ended(m.Unlock())
	return !lost
}
