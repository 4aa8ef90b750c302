package notifier

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue/redisqueue/internal/clients"
)

const (
	// A connection that says nothing for so long is asked whether it is alive,
	// and given up after as long again. Polling bridges the time.
	silence = 5 * time.Second

	// How soon a shorter time than that is noticed: half of the shortest grace time.
	shortest = 250 * time.Millisecond

	// How long it may take to get a connection from the pool of a client that
	// is not closed.
	closedTimeout = 100 * time.Millisecond

	// How much longer than it is told a call of the connection may take, twice. With shortest,
	// that leaves time for a sign within the nine tenths of the shortest grace time.
	slack = 50 * time.Millisecond

	// A connection that has lasted so long was a good one.
	stable = 10 * time.Second
)

var (
	errSilent    = errors.New("the connection is silent")
	errHanging   = errors.New("the connection hangs")
	errStale     = errors.New("messages have not come")
	errOutOfStep = errors.New("the connection has lost a part of a message")
	errReplaced  = errors.New("the client has replaced the connection")
)

// ping is what a ping says, and its answer.
const ping = "fifolock"

// subscription is the goroutine that listens for a notifier, on one connection at
// a time, until it is cancelled or its client is closed.
type subscription struct {
	notifier *Notifier
	ctx      context.Context
	cancel   context.CancelFunc
}

func newSubscription(n *Notifier) *subscription {
	ctx, cancel := context.WithCancel(context.Background())
	return &subscription{notifier: n, ctx: ctx, cancel: cancel}
}

// run connects again and again. The backoff starts anew only after a connection
// that has lasted: one that is killed each time it is made must not make us spin.
func (s *subscription) run() {
	defer s.cancel()
	defer s.notifier.ended(s)
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 10 * time.Millisecond
	wait.MaxInterval = time.Second // also how long a closed client may go unnoticed
	wait.MaxElapsedTime = 0
	wait.Reset()
	for {
		began := time.Now()
		err := s.listen()
		s.notifier.down(s)
		if s.ctx.Err() != nil || errors.Is(err, redis.ErrClosed) {
			return
		}
		clients.ReloadState(s.ctx, s.notifier.client, err)
		if time.Since(began) > stable {
			wait.Reset()
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// listen makes one connection and hands on its messages until it breaks.
func (s *subscription) listen() error { return clients.Call(s.receive) }

func (s *subscription) receive() error {
	messages := s.notifier.client.Subscribe(s.ctx, s.notifier.channel())
	// Receiving does not obey a ctx; closing ends it.
	stop := context.AfterFunc(s.ctx, func() { _ = messages.Close() })
	defer func() {
		if stop() {
			_ = messages.Close()
		}
	}()
	// The PubSub would connect anew by itself before it tells that the connection has
	// broken, for as long as it takes to dial, or not tell it at all. With a ctx that has
	// ended it does not, where dialing obeys it.
	ended, end := context.WithCancel(s.ctx)
	end()
	subscribed := false // which the server says first on a connection, and once
	var asked time.Time // when a ping was sent that is not answered; zero if none is
	last := time.Now()  // when it was last looked whether the connection is alive
	for {
		// The interval may become shorter at any time.
		next := last.Add(s.notifier.lookAfter(!asked.IsZero()))
		timeout := max(min(time.Until(next), shortest), time.Millisecond)
		var message any
		err := s.within(timeout, func() (err error) { message, err = messages.ReceiveTimeout(ended, timeout); return err })
		if err != nil && !isTimeout(err) {
			return err
		}
		switch m := message.(type) { // nil if none came in time
		case *redis.Subscription:
			// The PubSub has connected anew and does not tell it if the server moves to
			// another address, or if the connection broke as it was about to be subscribed:
			// then the new one is not.
			if subscribed {
				return errReplaced
			}
			subscribed = true
			s.notifier.up(s)
			go s.endIfClosed()
		case *redis.Message:
			s.notifier.heard(m.Payload)
		case *redis.Pong:
			switch {
			case !subscribed:
				return errReplaced
			case m.Payload != ping || asked.IsZero():
				// A deadline in the middle of a message loses what was read of it, and
				// go-redis takes each of its other parts for a pong.
				return errOutOfStep
			}
			s.notifier.ponged(s, asked)
			asked = time.Time{}
		}
		if s.notifier.isStale(s) {
			return errStale
		}
		if time.Now().Before(next) {
			continue
		}
		last = time.Now()
		switch {
		case asked.IsZero():
			asked = time.Now()
			if err := s.within(0, func() error { return messages.Ping(ended, ping) }); err != nil {
				return err
			}
		case s.notifier.silent(asked):
			return errSilent
		}
	}
}

// within calls f, which uses the connection and should return in d. If it has not twice
// slack later, the connection is down, and an error is returned when f returns. The PubSub dials
// before it tells that the connection has broken, and not every dialer obeys a ctx: that of
// go-redis does not with TLS, and that of a Sentinel client waits for the one before. A
// process that is believed to listen until then says nothing, and is taken for dead.
func (s *subscription) within(d time.Duration, f func() error) (err error) {
	var (
		mu       sync.Mutex
		returned bool
		over     bool
		doubt    bool // it was late once
		timer    *time.Timer
	)
	late := func() {
		// f goes first if it can go on: in a busy process it stands in the queue for a
		// processor, and a timer does not.
		runtime.Gosched()
		mu.Lock()
		defer mu.Unlock()
		switch {
		case returned:
		case !doubt: // the process may have stood still, and f with it
			doubt = true
			timer.Reset(slack)
		default:
			over = s.notifier.down(s)
		}
	}
	mu.Lock()
	timer = time.AfterFunc(d+slack, late)
	mu.Unlock()
	defer func() { // deferred, because the client may panic
		mu.Lock()
		defer mu.Unlock()
		returned = true
		timer.Stop()
		if over && (err == nil || isTimeout(err)) {
			err = errHanging
		}
	}()
	return f()
}

// endIfClosed ends the subscription if the client was closed. Closing it breaks
// the connections that it knows of, but it does not know of one that was being
// made at that moment: that one would last. It asks through the pool, where a
// connection may hang for longer than any ctx says, so it must not keep messages
// waiting.
func (s *subscription) endIfClosed() {
	ctx, cancel := context.WithTimeout(s.ctx, closedTimeout)
	defer cancel()
	err := clients.Call(func() error { return s.notifier.client.Ping(ctx).Err() })
	if errors.Is(err, redis.ErrClosed) {
		s.cancel()
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
