package redisqueue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// heldUp is a hook of a client: pipelines are sent when it is closed.
type heldUp chan struct{}

func (heldUp) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (heldUp) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (h heldUp) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		<-h
		return next(ctx, cmds)
	}
}

// A caller has left before the answer to its release has come, which says that another ticket
// of the process owns now: that is told all the same.
func TestAnswerAfterItsCallerHasLeft(t *testing.T) {
	t.Parallel()
	client, pipelines := redistest.Client(t), make(heldUp)
	warm(t, client)
	client.AddHook(pipelines)
	q := redisqueue.New(client, redistest.Name(t))
	shared := q.Share(1)
	first, next := mustRegister(t, shared), mustRegister(t, shared)
	wake, stop, err := queue.Watch(t.Context(), shared, next)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()

	ctx, cancel := context.WithCancel(t.Context())
	left, other := make(chan error, 1), make(chan error, 1)
	dispatch := gather(q, 2, func(i int) {
		if i == 0 {
			left <- queue.Release(ctx, shared, first)
			return
		}
		_, err := q.IsEmpty(t.Context())
		other <- err
	})
	dispatch()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("Release returned %v, want that its ctx has ended", err)
	}
	close(pipelines)
	if err := <-other; err != nil {
		t.Error(err)
	}
	late := time.After(10 * time.Second)
	for {
		select {
		case what := <-wake:
			if what == queue.WakeOwner {
				mustRelease(t, shared, next)
				return
			}
		case <-late:
			t.Fatal("the next ticket was not told that it owns")
		}
	}
}

// A request for a ticket was sent more than once, and the ticket's release is never answered,
// or it is found gone: when its lease is over, nothing is kept of it.
func TestNothingIsKeptOfATicketThatLapses(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	direct := redistest.Client(t)
	warm(t, direct)
	for _, end := range []string{"not answered", "not asked", "gone"} {
		proxy := redistest.NewProxy(t, redistest.Addr(t))
		name := redistest.Name(t)
		q := redisqueue.New(redistest.ClientOf(t, proxy.Addr, func(o *redis.Options) { o.ReadTimeout = time.Second }), name, redisqueue.WithLease(time.Second))
		proxy.LoseReplies(redisqueue.RegisterHash, 1)
		ticket := mustRegister(t, q)
		if n := redisqueue.Resent(q); n != 1 {
			t.Fatalf("%d tickets count as requested more than once, want 1", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if end == "gone" {
			direct.Del(t.Context(), redistest.Keys(t, direct, name)...)
			_, err := q.IsHead(t.Context(), ticket)
			wantNotQueued(t, err)
		} else {
			defer proxy.BlackHole()()
			if end == "not asked" {
				cancel()
			}
			if err := q.Release(ctx, ticket); err == nil {
				t.Fatal("Release was answered")
			}
		}
		if n := redisqueue.Resent(q); n != 1 {
			t.Errorf("%s: %d tickets count as requested more than once while a release may be tried again, want 1", end, n)
		}
		for began := time.Now(); redisqueue.Resent(q) > 0; {
			if time.Since(began) > 30*time.Second {
				t.Fatal("it is still kept")
			}
			time.Sleep(pause)
		}
		direct.Del(t.Context(), redistest.Keys(t, direct, name)...)
	}
}

// Nor of one that is released through another queue of the client, which leaves the mark for
// the late request as well.
func TestNothingIsKeptOfATicketThatAnotherQueueReleases(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	warm(t, redistest.Client(t))
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	client, name := redistest.ClientOf(t, proxy.Addr, func(o *redis.Options) { o.ReadTimeout = time.Second }), redistest.Name(t)
	q, other := redisqueue.New(client, name), redisqueue.New(client, name, redisqueue.WithLease(time.Second))
	proxy.LoseReplies(redisqueue.RegisterHash, 1)
	ticket := mustRegister(t, q)
	if n := redisqueue.Resent(q); n != 1 {
		t.Fatalf("%d tickets count as requested more than once, want 1", n)
	}
	if err := other.Release(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	if n := redisqueue.Resent(q); n > 0 {
		t.Error("it is kept after its release")
	}
	if keys := redistest.Keys(t, redistest.Client(t), name); len(keys) != 1 {
		t.Errorf("%v is left, want the mark", keys)
	}
	redistest.Client(t).Del(t.Context(), redistest.Keys(t, redistest.Client(t), name)...)
}
