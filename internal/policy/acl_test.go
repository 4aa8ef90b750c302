package policy

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// TestACL gives a user the rights that docs/redis.md lists, and does with them all
// that can be done. The server's log has what was denied.
func TestACL(t *testing.T) {
	line := regexp.MustCompile(`(?m)^ACL SETUSER fifolock on >secret (.*)$`).FindStringSubmatch(read(t, "docs/redis.md"))
	if line == nil {
		t.Fatal("there is no ACL SETUSER in docs/redis.md")
	}
	server := redistest.StartServer(t)
	admin := server.Client()
	args := []any{"ACL", "SETUSER", "fifolock", "on", ">secret"}
	for _, right := range strings.Fields(line[1]) {
		args = append(args, right)
	}
	if err := admin.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}

	useEverything(t, server)

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

// useEverything does all that can be done with a queue, as the user.
func useEverything(t *testing.T, server *redistest.Server) {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	const lease = 2 * time.Second
	newQueue := func() *redisqueue.Queue {
		client := server.Client(func(o *redis.Options) { o.Username, o.Password = "fifolock", "secret" })
		return redisqueue.New(client, "report", redisqueue.WithLease(lease))
	}
	first, second := newQueue(), newQueue()

	// One client holds for long enough to renew its lease, and to let the other
	// open its connection for wake-ups; then it hands over.
	m, other := lock.New(first), lock.New(second)
	check(m.Lock(ctx))
	done := make(chan error)
	go func() { done <- other.Do(ctx, func(context.Context) error { return nil }) }()
	time.Sleep(lease / 2)
	_, err := lock.New(first).TryLock(ctx)
	check(err)
	_, err = first.Members(ctx)
	check(err)
	_, err = first.IsEmpty(ctx)
	check(err)
	check(m.Unlock())
	check(<-done)

	// A ticket that nobody keeps alive is evicted, and an empty queue removed.
	_, err = second.Register(ctx)
	check(err)
	check(m.Lock(ctx))
	check(first.CleanupStale(ctx))
	check(m.Unlock())
	first.MaybeCleanup(ctx)
}
