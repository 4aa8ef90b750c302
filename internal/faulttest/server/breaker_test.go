//go:build linux

package server

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
)

// breaker is a hook that fails each call at once while it is open. It reads their arguments
// first, as one that logs them does, so that the queue cannot know whether they were sent.
type breaker struct {
	open  atomic.Bool
	calls chan struct{}
}

var errOpen = errors.New("the circuit breaker is open")

func (*breaker) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *breaker) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if b.refuses(cmd) {
			return errOpen
		}
		return next(ctx, cmd)
	}
}

func (b *breaker) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if b.refuses(cmds...) {
			return errOpen
		}
		return next(ctx, cmds)
	}
}

func (b *breaker) refuses(cmds ...redis.Cmder) bool {
	if !b.open.Load() {
		return false
	}
	for _, cmd := range cmds {
		_ = cmd.Args()
		cmd.SetErr(errOpen)
		select {
		case b.calls <- struct{}{}:
		default:
		}
	}
	return true
}

// Each look that may have lost a wake-up makes the first waiters look. Where every look
// fails they do not make a busy loop of it, and go on when the server answers again.
func TestWaitersBehindAnOpenCircuitBreaker(t *testing.T) {
	const waiters, calls, perSecond = 4, 200, 1000
	c := gather(t, waiters, func(p *faulttest.Paths) *redis.Client { return p.Near })
	b := &breaker{calls: make(chan struct{})}
	c.Far.AddHook(b)
	b.open.Store(true)
	<-b.calls
	began := time.Now()
	for range calls {
		<-b.calls
	}
	took := time.Since(began)
	t.Logf("%d calls in %v", calls, took)
	if took < calls*time.Second/perSecond {
		t.Errorf("%d calls of %d waiters in %v", calls, waiters, took)
	}
	b.open.Store(false)
	faulttest.MustUnlock(t, c.holder)
	for range waiters {
		<-c.acquired
		faulttest.MustUnlock(t, c.waiting)
	}
}
