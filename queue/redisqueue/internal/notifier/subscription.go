package notifier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

const (
	// A connection that says nothing for so long is asked whether it is alive,
	// and given up after as long again. Polling bridges the time.
	silence = 5 * time.Second

	// How soon a shorter time than that is noticed.
	shortest = 500 * time.Millisecond

	// How long it may take to get a connection from the pool of a client that
	// is not closed.
	closedTimeout = 100 * time.Millisecond

	// A connection that has lasted so long was a good one.
	stable = 10 * time.Second
)

var errSilent = errors.New("the connection is silent")

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
		s.reloadState(err)
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

// reloadState has the client of a Cluster ask which node has which slots, after an
// error that did not come from a node.
func (s *subscription) reloadState(err error) {
	var reply redis.Error
	if cluster, ok := s.notifier.client.(interface{ ReloadState(context.Context) }); ok && !errors.As(err, &reply) {
		cluster.ReloadState(s.ctx)
	}
}

// listen makes one connection and hands on what it says until it breaks. The
// PubSub would reconnect by itself, but without a pause. A client that is a wrapper
// of the caller's may panic: this goroutine is ours, and must not end the process.
func (s *subscription) listen() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	messages := s.notifier.client.Subscribe(s.ctx, s.notifier.channel())
	// Receiving does not obey a ctx; closing ends it.
	stop := context.AfterFunc(s.ctx, func() { _ = messages.Close() })
	defer func() {
		if stop() {
			_ = messages.Close()
		}
	}()
	var asked time.Time // when a ping was sent that is not answered; zero if none is
	last := time.Now()  // when it was last looked whether the connection is alive
	for {
		// The interval may become shorter at any time.
		next := last.Add(s.notifier.pingInterval())
		message, err := messages.ReceiveTimeout(s.ctx, max(min(time.Until(next), shortest), time.Millisecond))
		if err != nil && !isTimeout(err) {
			return err
		}
		if _, ok := message.(*redis.Pong); ok && err == nil {
			s.notifier.ponged(s, asked)
			asked = time.Time{}
		} else if err == nil {
			s.handle(message)
		}
		if time.Now().Before(next) {
			continue
		}
		last = time.Now()
		switch {
		case asked.IsZero():
			asked = time.Now()
			if err := messages.Ping(s.ctx); err != nil {
				return err
			}
		case s.notifier.silent(asked):
			return errSilent
		}
	}
}

func (s *subscription) handle(message any) {
	switch m := message.(type) {
	case *redis.Message:
		s.notifier.heard(m.Payload)
	case *redis.Subscription:
		s.notifier.up(s)
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
	if errors.Is(s.notifier.client.Ping(ctx).Err(), redis.ErrClosed) {
		s.cancel()
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// subscribeLocked makes sure that there is a subscription, or that one is on
// its way.
func (n *Notifier) subscribeLocked() {
	if n.idle != nil {
		n.idle.Stop()
	}
	if n.subscription == nil {
		if len(n.presences) > 0 {
			n.seen = make(chan struct{})
		}
		n.subscription = newSubscription(n)
		go n.subscription.run()
	}
}

// unsubscribe ends the subscription, unless a watch has begun when the timer had
// already fired. A ticket that is about to be watched may miss something until
// there is another.
func (n *Notifier) unsubscribe() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watches == 0 && n.subscription != nil {
		n.subscription.cancel()
		n.subscription, n.listening, n.run, n.introduced = nil, false, "", false
		n.knownLocked()
		n.changedLocked()
	}
}

// up is called when the server has confirmed the subscription.
func (n *Notifier) up(s *subscription) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.subscription == s && !n.listening {
		n.listening, n.upSince = true, time.Now()
		n.introduceLocked()
		n.changedLocked()
	}
}

// down is called when the subscription has broken.
func (n *Notifier) down(s *subscription) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.subscription == s && n.listening {
		n.listening, n.run, n.introduced = false, "", false
		for p := range n.presences {
			p.brokenLocked()
		}
		n.changedLocked()
	}
	if n.subscription == s {
		n.knownLocked()
	}
}

// heard is called with every message of the subscription: it works.
func (n *Notifier) heard(message string) {
	n.Deliver(message)
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.waiters[n.token(message)]; w != nil && w.granted {
		n.doubt, n.doubtUntil = 0, time.Time{}
	}
}

// ended is called when the subscription has ended for good: it was cancelled, or
// its client is closed. Then every waiter looks, and finds that it is.
func (n *Notifier) ended(s *subscription) {
	n.down(s)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.subscription != s {
		return
	}
	n.subscription = nil
	for _, w := range n.waiters {
		if !w.Owns {
			wakeup.Put(w.wake, queue.WakeHint)
		}
	}
}
