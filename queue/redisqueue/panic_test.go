package redisqueue_test

import (
	"context"
	"fmt"
	"strings"
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
// pipeline.
type hostile struct {
	panics    atomic.Bool
	pipelines atomic.Int32 // that it has panicked in
}

func (*hostile) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *hostile) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") && h.panics.Load() {
			panic("a hook of the caller's")
		}
		return next(ctx, cmd)
	}
}

func (h *hostile) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.panics.Load() {
			h.pipelines.Add(1)
			panic("a hook of the caller's")
		}
		return next(ctx, cmds)
	}
}

func wantPanic(t *testing.T, what string, err error) {
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
	wantPanic(t, "alone", err)

	const together = 3
	errs := make(chan error)
	gather(q, together, func(int) { // of lines of their own, or they would go as one call
		_, err := redisqueue.New(client, redistest.Name(t)).Register(t.Context())
		errs <- err
	})()
	for range together {
		wantPanic(t, "together", <-errs)
	}
	if hook.pipelines.Load() == 0 {
		t.Error("nothing was sent as a pipeline")
	}
	hook.panics.Store(false)
	mustRelease(t, q, ticket)
	wantEmpty(t, q)
	if n := redisqueue.Waiters(q); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// panicking is a wrapper that panics when it is to tell what the client is.
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
	wantPanic(t, "a Ring", err)
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
	wantHead(t, q, next)
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
	panics := func(f func()) (panicked bool) {
		defer func() { panicked = recover() != nil }()
		plantDead(t, client, name, 1, 1)
		f()
		return false
	}
	if !panics(func() { _, _ = q.Register(ctx) }) {
		t.Error("Register: the trace was not called")
	}
	for tries := 1; ; tries++ { // a sign of life in between evicts the dead, and tells nothing
		held := mustRegister(t, q)
		if panics(func() { _ = q.Release(ctx, held) }) {
			break
		}
		if tries == 20 {
			t.Fatal("Release: the trace was not called")
		}
	}
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

// another is a hook of a client that answers something else than the server did to the
// next script.
type another struct {
	redis.Hook
	answer atomic.Pointer[func(any) any]
}

func (*another) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *another) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if script, ok := cmd.(interface {
			Val() any
			SetVal(any)
		}); ok && err == nil && strings.HasPrefix(cmd.Name(), "eval") {
			if answer := h.answer.Swap(nil); answer != nil {
				script.SetVal((*answer)(script.Val()))
			}
		}
		return err
	}
}

func (*another) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// A reply that is not of the shape that its script gives, a late one to another request
// say, is an error, and never ownership.
func TestReplyOfAnotherShape(t *testing.T) {
	redistest.NeedReal(t)
	client, name := redistest.Client(t), redistest.Name(t)
	direct := redisqueue.New(redistest.Client(t), name)
	hook := new(another)
	client.AddHook(hook)
	q := redisqueue.New(client, name)
	holder, ticket := mustRegister(t, direct), mustRegister(t, q)
	if _, err := q.Position(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	position := func() error { _, err := q.Position(t.Context(), ticket); return err }
	isHead := func() error { _, err := q.IsHead(t.Context(), ticket); return err }
	register := func() error { _, err := q.Register(t.Context()); return err }
	try := func() error { _, _, err := q.TryRegister(t.Context()); return err }
	refresh := func() error { return q.Refresh(t.Context(), ticket) }
	ownEntry := func(rest ...any) func(any) any {
		return func(answer any) any { return append([]any{"ok", answer.([]any)[1]}, rest...) }
	}
	constant := func(answer any) func(any) any { return func(any) any { return answer } }
	for i, c := range []struct {
		what   string
		call   func() error
		answer func(any) any
	}{
		{"Position", position, constant("x")},
		{"Position", position, constant(ticket.Member)},
		{"Position", position, constant(int64(0))},
		{"Position", position, constant([]any{"ok", ""})},
		{"Position", position, constant([]any{"ok", "0", int64(5), ""})},
		{"Position", position, constant([]any{"ok", ticket.Member, int64(0), "", ""})},
		{"IsHead", isHead, constant("x")},
		{"Refresh", refresh, constant("x")},
		{"Refresh", refresh, constant(int64(1))},
		{"Register", register, constant(int64(1))},
		{"Register", register, constant(holder.Member)},
		{"Register", register, constant([]any{"ok", holder.Member, int64(0), "", ""})},
		{"Register", register, ownEntry("")},
		{"Register", register, ownEntry("1", "", "")},
		{"Register", register, ownEntry(int64(-1), "", "")},
		{"Register", register, constant([]any{"busy", int64(5), ""})},
		{"Register", register, constant([]any{"gone", ""})},
		{"Register", register, constant([]any{"x", "y"})},
		{"Register", register, constant([]any{nil, ""})},
		{"TryRegister", try, constant([]any{"", ""})},
		{"TryRegister", try, constant(holder.Member)},
		{"TryRegister", try, constant([]any{"gone", ""})},
		{"Position", position, constant([]any{"ok", int64(0), ""})},
	} {
		hook.answer.Store(&c.answer)
		if err := c.call(); err == nil {
			t.Errorf("%d: %s: no error", i, c.what)
		}
	}
	if list := members(t, direct); len(list) != 2 {
		t.Errorf("the line is %v; want what was in it", list)
	}
	if n := redisqueue.Waiters(q); n != 1 {
		t.Errorf("%d waiters; want that of the ticket", n)
	}
	one := constant(holder.Member)
	hook.answer.Store(&one)
	mustRelease(t, q, ticket) // is asked again
	mustRelease(t, direct, holder)
	wantEmpty(t, direct)
}

// So is one to requests that went together.
func TestReplyOfAnotherShapeToTogether(t *testing.T) {
	l := newTogether(t)
	hook := new(another)
	client := redistest.Client(t)
	client.AddHook(hook)
	l.far = redisqueue.New(client, l.name)
	answer := func(answer any) any {
		return append([]any{fmt.Sprint(answer.([]any)[0])}, answer.([]any)[1:]...)
	}
	dispatch := l.begin(3)
	hook.answer.Store(&answer)
	dispatch()
	l.wait()
	for i, r := range l.registration {
		if r.err == nil {
			t.Errorf("%d: %+v", i, r.ticket)
		}
	}
	l.wantLine([]string{l.holder.Member})
}
