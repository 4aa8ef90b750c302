package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/gofrs/flock"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/crew"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// order is what the parent tells a worker to do.
type order struct {
	Process, Rounds int
	Hold            time.Duration
	Place           cli.Place
	Polled          string // the file of the other lock; empty for the fair one
}

// message is what a worker tells its parent: that it is ready, and in the end what
// it has seen.
type message struct{ Turns []turn }

func (o order) title() string {
	if o.Polled != "" {
		return "a lock that is polled every 10 ms: luck decides"
	}
	return "fifolock: first come, first served"
}

const pollInterval = 10 * time.Millisecond

// work says that it is ready, waits for the word of the parent, and takes the lock
// as often as it should.
func work(ctx context.Context, o order, parent *crew.Parent[message]) error {
	l, closeLocker, err := o.locker()
	if err != nil {
		return err
	}
	defer closeLocker()
	if err := errors.Join(parent.Tell(message{}), parent.AwaitGo(ctx)); err != nil {
		return err
	}
	turns, err := o.takeTurns(ctx, l)
	if err != nil {
		return err
	}
	return parent.Tell(message{Turns: turns})
}

// locker is one of the two kinds of lock.
type locker interface {
	// lock returns when the caller owns the lock. Before that it calls inLine,
	// when the caller has taken its place, or has tried for the first time.
	lock(ctx context.Context, inLine func()) error
	unlock() error
}

func (o order) locker() (l locker, closeLocker func(), err error) {
	if o.Polled != "" {
		return polling{flock.New(o.Polled)}, func() {}, nil
	}
	q, closeQueue, err := o.Place.Open()
	if err != nil {
		return nil, nil, err
	}
	f := &fair{queue: q}
	f.mutex = lock.New(q, lock.WithTrace(&lock.Trace{Registered: func(t queue.Ticket) { f.registered(t) }}))
	return f, closeQueue, nil
}

// fair is a fifolock.
type fair struct {
	queue      queue.TicketQueue
	mutex      *lock.Mutex
	registered func(queue.Ticket)
}

// lock leaves nothing in line when ctx ends, though the process ends right after: it has its
// ticket first, and so knows which one is to be removed.
func (f *fair) lock(ctx context.Context, inLine func()) error {
	waiting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var ticket queue.Ticket
	f.registered = func(t queue.Ticket) { // there is one goroutine
		ticket = t
		inLine()
		context.AfterFunc(ctx, cancel)
	}
	err := f.mutex.Lock(waiting)
	if err != nil {
		cli.Leave(f.queue, ticket)
	}
	return err
}

func (f *fair) unlock() error { return f.mutex.Unlock() }

// polling is the other one.
type polling struct{ file *flock.Flock }

func (p polling) lock(ctx context.Context, inLine func()) error {
	ok, err := p.file.TryLock()
	inLine()
	if ok || err != nil {
		return err
	}
	_, err = p.file.TryLockContext(ctx, pollInterval)
	return err
}

func (p polling) unlock() error { return p.file.Unlock() }

func (o order) takeTurns(ctx context.Context, l locker) ([]turn, error) {
	// The same lengths in every run, so that two pictures can be compared.
	random := rand.New(rand.NewPCG(1, uint64(o.Process)))
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }

	turns := make([]turn, o.Rounds)
	for i := range turns {
		t := &turns[i]
		t.Process, t.Round = o.Process, i+1
		cli.Sleep(ctx, upTo(2*o.Hold))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t.Called = time.Now()
		if err := l.lock(ctx, func() { t.InLine = time.Now() }); err != nil {
			return nil, err
		}
		t.Acquired = time.Now()
		cli.Sleep(ctx, o.Hold/2+upTo(o.Hold/2+1))
		t.Released = time.Now()
		if err := l.unlock(); err != nil {
			return nil, err
		}
	}
	return turns, ctx.Err()
}
