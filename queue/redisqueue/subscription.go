package redisqueue

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"
)

const (
	// A connection that says nothing for so long is asked whether it is alive,
	// and given up after as long again. Polling bridges the time.
	subscriptionSilence = 5 * time.Second

	// How long it may take to get a connection from the pool of a client that
	// is not closed.
	closedTimeout = 100 * time.Millisecond

	// A connection that has lasted so long was a good one.
	subscriptionStable = 10 * time.Second
)

var errSilent = errors.New("the connection is silent")

// subscription is the goroutine that listens for a hub, on one connection at a
// time, until it is cancelled or its client is closed.
type subscription struct {
	hub    *hub
	ctx    context.Context
	cancel context.CancelFunc
}

func newSubscription(h *hub) *subscription {
	ctx, cancel := context.WithCancel(context.Background())
	return &subscription{hub: h, ctx: ctx, cancel: cancel}
}

// run connects again and again. The backoff starts anew only after a connection
// that has lasted: one that is killed each time it is made must not make us spin.
func (s *subscription) run() {
	defer s.cancel()
	defer s.hub.ended(s)
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 10 * time.Millisecond
	wait.MaxInterval = time.Second // also how long a closed client may go unnoticed
	wait.MaxElapsedTime = 0
	wait.Reset()
	for {
		began := time.Now()
		err := s.listen()
		s.hub.down(s)
		if s.ctx.Err() != nil || errors.Is(err, redis.ErrClosed) {
			return
		}
		lookAround(s.ctx, s.hub.client, err)
		if time.Since(began) > subscriptionStable {
			wait.Reset()
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// listen makes one connection and hands on what it says until it breaks. The
// PubSub would reconnect by itself, but without a pause.
func (s *subscription) listen() error {
	messages := s.hub.client.Subscribe(s.ctx)
	// Receiving does not obey a ctx; closing ends it.
	stop := context.AfterFunc(s.ctx, func() { _ = messages.Close() })
	defer func() {
		if stop() {
			_ = messages.Close()
		}
	}()
	if err := messages.Subscribe(s.ctx, s.hub.channel()); err != nil {
		return err
	}
	asked := false
	for {
		message, err := messages.ReceiveTimeout(s.ctx, subscriptionSilence)
		switch {
		case err == nil:
			asked = false
			s.handle(message)
		case !isTimeout(err):
			return err
		case asked:
			return errSilent
		default:
			asked = true
			if err := messages.Ping(s.ctx); err != nil {
				return err
			}
		}
	}
}

func (s *subscription) handle(message any) {
	switch m := message.(type) {
	case *redis.Message:
		s.hub.deliver(m.Payload)
	case *redis.Subscription:
		s.hub.up(s)
		go s.endIfClosed()
	}
}

// endIfClosed ends the subscription if the client was closed. Closing it breaks
// the connections that it knows of, but it does not know of one that was being
// made at that moment: that one would last. It asks through the pool, where a
// connection may hang for longer than any ctx says, so it must not keep messages
// waiting.
func (s *subscription) endIfClosed() {
	ctx, cancel := context.WithTimeout(s.ctx, closedTimeout)
	defer cancel()
	if errors.Is(s.hub.client.Ping(ctx).Err(), redis.ErrClosed) {
		s.cancel()
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
