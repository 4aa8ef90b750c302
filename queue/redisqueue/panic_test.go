package redisqueue_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// hostile is a hook of a client: while panics is set, it panics in every script and every
// pipeline; and while hold is set, scripts wait there.
type hostile struct {
	panics atomic.Bool
	hold   atomic.Pointer[hold]
}

type hold struct {
	held  sync.WaitGroup // done by each that has come
	until chan struct{}
}

func (*hostile) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *hostile) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			if hold := h.hold.Load(); hold != nil {
				hold.held.Done()
				<-hold.until
			}
			h.panic()
		}
		return next(ctx, cmd)
	}
}

func (h *hostile) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.panic()
		return next(ctx, cmds)
	}
}

func (h *hostile) panic() {
	if h.panics.Load() {
		panic("a hook of the caller's")
	}
}

func mustSayPanic(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "panicked: a hook of the caller's") {
		t.Errorf("%s: %v; want the panic", what, err)
	}
}

// A client that panics fails the calls, those that were sent together too, and nothing
// else (K12).
func TestClientPanics(t *testing.T) {
	redistest.NeedReal(t)
	client := redistest.Client(t)
	warm(t, client)
	hook := new(hostile)
	client.AddHook(hook)
	q := redisqueue.New(client, redistest.Name(t))
	ticket := mustRegister(t, q)

	hook.panics.Store(true)
	_, err := q.Register(t.Context())
	mustSayPanic(t, "alone", err)

	hook.panics.Store(false)
	const flights = 8 // at once
	gate := &hold{until: make(chan struct{})}
	gate.held.Add(flights)
	hook.hold.Store(gate)
	var wg sync.WaitGroup
	for range flights {
		wg.Go(func() {
			if err := q.Refresh(t.Context(), ticket); err != nil {
				t.Error(err)
			}
		})
	}
	gate.held.Wait()
	hook.hold.Store(nil)
	hook.panics.Store(true)
	var gathered sync.WaitGroup
	for range 3 {
		gathered.Go(func() {
			_, err := q.Register(t.Context())
			mustSayPanic(t, "together", err)
		})
	}
	gathered.Wait()
	hook.panics.Store(false)
	close(gate.until)
	wg.Wait()
	mustRelease(t, q, ticket)
	mustBeEmpty(t, q)
	if n := redisqueue.Waiters(q); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// panicking is a wrapper whose methods that tell what the client is panic.
type panicking struct{ redis.UniversalClient }

func (panicking) ReloadState(context.Context) { panic("a hook of the caller's") }

type panickingRing struct{ redis.UniversalClient }

func (panickingRing) GetShardClientForKey(string) (*redis.Client, error) {
	panic("a hook of the caller's")
}

// What a wrapper of a Cluster or of a Ring panics with fails the call, and nothing else.
func TestWrapperPanics(t *testing.T) {
	testenv.Long(t)
	down := redistest.ClientOf(t, "127.0.0.1:1", retries(-1))
	if _, err := redisqueue.New(panicking{down}, "x").Register(t.Context()); err == nil {
		t.Error("no error without a server")
	}
	_, err := redisqueue.New(panickingRing{down}, "x").Register(t.Context())
	mustSayPanic(t, "a Ring", err)
}

// A trace that panics in a release leaves no doubt about the grant that was built on it.
func TestTracePanicsInAHandOff(t *testing.T) {
	redistest.NeedReal(t)
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name)
	held, next := mustRegister(t, q), mustRegister(t, q)
	wake, _ := watch(t, q, next)
	plantDead(t, client, name, held.Number-1, 1)
	ctx := queue.OnEvicted(t.Context(), func([]queue.Ticket) { panic("a trace of the caller's") })
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the trace was not called")
			}
		}()
		_ = q.Release(ctx, held)
	}()
	mustBeHead(t, q, next)
	<-wake
	mustRelease(t, q, next)
	if n := redisqueue.Waiters(q); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// A trace that panics where a ticket is taken, or is given up, leaves no presence that goes
// on to listen for it.
func TestTracePanicsWithCrashDetection(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	redistest.NeedReal(t)
	client, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(client, name, redisqueue.WithCrashDetection(time.Second))
	ctx := queue.OnEvicted(t.Context(), func([]queue.Ticket) { panic("a trace of the caller's") })
	mustPanic := func(what string, f func()) {
		defer func() {
			if recover() == nil {
				t.Errorf("%s: the trace was not called", what)
			}
		}()
		f()
	}
	plantDead(t, client, name, 1, 1)
	mustPanic("Register", func() { _, _ = q.Register(ctx) })
	held := mustRegister(t, q)
	plantDead(t, client, name, 1, 1)
	mustPanic("Release", func() { _ = q.Release(ctx, held) })
	channel := "fifolock:" + redisqueue.NotifierID(q)
	for began := time.Now(); client.PubSubNumSub(t.Context(), channel).Val()[channel] > 0; time.Sleep(pause) {
		if time.Since(began) > time.Minute {
			t.Fatal("the process shows itself for tickets that it has not got")
		}
	}
}

// silent is a hook of a client that says of no script how it went.
type silent struct{ redis.Hook }

func (silent) DialHook(next redis.DialHook) redis.DialHook { return next }

func (silent) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			return nil
		}
		return next(ctx, cmd)
	}
}

func (silent) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return nil }
}

// A client that returns without an answer has not said that all is well.
func TestClientSaysNothing(t *testing.T) {
	t.Parallel()
	client := redistest.Client(t)
	name := redistest.Name(t)
	direct := redisqueue.New(redistest.Client(t), name)
	q := redisqueue.New(client, name)
	ticket := mustRegister(t, q)
	client.AddHook(silent{})
	all := calls(q, ticket)
	delete(all, "Watch") // asks nothing
	for what, call := range all {
		ctx, cancel := context.WithTimeout(t.Context(), shortly)
		if err := call(ctx); err == nil {
			t.Errorf("%s: no error", what)
		}
		cancel()
	}
	mustRelease(t, direct, ticket)
}
