package redisqueue

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

// The latest counts, but a grant is never displaced by a hint.
func TestRedisMailbox(t *testing.T) {
	for _, test := range []struct {
		put  []queue.Wake
		want queue.Wake
	}{
		{[]queue.Wake{queue.WakeHint}, queue.WakeHint},
		{[]queue.Wake{queue.WakeHint, queue.WakeHint}, queue.WakeHint},
		{[]queue.Wake{queue.WakeOwner}, queue.WakeOwner},
		{[]queue.Wake{queue.WakeHint, queue.WakeOwner}, queue.WakeOwner},
		{[]queue.Wake{queue.WakeOwner, queue.WakeHint}, queue.WakeOwner},
		{[]queue.Wake{queue.WakeOwner, queue.WakeHint, queue.WakeOwner, queue.WakeHint}, queue.WakeOwner},
	} {
		box := newHub(nil).openLocked("token", "proof")
		<-box.wake // the hub does not listen, so there is a queue.WakeHint
		for _, w := range test.put {
			wakeup.Put(box.wake, w)
		}
		if got := <-box.wake; got != test.want || len(box.wake) != 0 {
			t.Errorf("after %v: %v, and %d more; want only %v", test.put, got, len(box.wake), test.want)
		}
	}
}

// closing is a client that was closed when it was about to make a pub/sub
// connection: that connection works.
type closing struct{ *redis.Client }

func (closing) Ping(ctx context.Context) *redis.StatusCmd {
	cmd := redis.NewStatusCmd(ctx, "ping")
	cmd.SetErr(redis.ErrClosed)
	return cmd
}

// The subscription ends although its connection has outlived its client.
func TestRedisSubscriptionOfClosedClient(t *testing.T) {
	client := redistest.Client(t)
	before := goleak.IgnoreCurrent()
	h := newHub(closing{client})
	_, stop := h.watch(h.newToken())
	goleak.VerifyNone(t, before)
	stop()
}

// stuck is a client whose pool has a connection that hangs.
type stuck struct {
	*redis.Client
	free chan struct{}
}

func (c stuck) Ping(ctx context.Context) *redis.StatusCmd {
	<-c.free
	return c.Client.Ping(ctx)
}

// Messages come over a connection of their own, whatever the pool does.
func TestRedisSubscriptionBesideAStuckPool(t *testing.T) {
	client := redistest.Client(t)
	free := make(chan struct{})
	defer close(free)
	h := newHub(stuck{client, free})
	token := h.newToken()
	h.open(token, "proof")
	<-h.mailboxes[token].wake // there is no subscription
	wake, stop := h.watch(token)
	defer stop()
	if got := <-wake; got != queue.WakeHint { // now there is
		t.Errorf("woken by %v; want queue.WakeHint", got)
	}
	if err := client.Publish(t.Context(), h.channel(), "1:"+token+":1 proof").Err(); err != nil {
		t.Fatal(err)
	}
	if got := <-wake; got != queue.WakeOwner {
		t.Errorf("woken by %v; want queue.WakeOwner", got)
	}
}

// The subscription ends, because nobody has watched for a while, between Register
// and Watch: what is published until there is another is missed.
func TestRedisSubscriptionEndsBeforeWatch(t *testing.T) {
	h := newHub(redistest.ClientOf(t, "127.0.0.1:1")) // no other subscription comes
	h.subscription = newSubscription(h)
	h.up(h.subscription)
	token := h.newToken()
	h.open(token, "proof")
	h.unsubscribe()
	wake, stop := h.watch(token)
	defer stop()
	select {
	case <-wake:
	default:
		t.Error("no queue.WakeHint from a Watch that may have missed something")
	}
}

// A client that somebody has wrapped in a type that can be compared, with
// something in it that cannot.
func TestRedisClientThatCannotBeCompared(t *testing.T) {
	type wrapped struct {
		redis.UniversalClient
		more any
	}
	q := New(wrapped{redistest.Client(t), []int{}}, redistest.Name(t))
	if _, err := q.IsEmpty(t.Context()); err != nil {
		t.Error(err)
	}
}
