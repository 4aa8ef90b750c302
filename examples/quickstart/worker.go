package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/crew"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// pause is how long a section takes between reading and writing the number:
// ages for another process to do the same, if the lock let it.
const pause = 10 * time.Millisecond

// order is what the parent tells a worker to do.
type order struct {
	Process     int
	Rounds      int
	HoldInRound int // hold the lock in this round until killed; 0 for never
	NumberFile  string
	NoLock      bool
	Place       cli.Place
}

// worker adds 1 to the number in the file, again and again.
type worker struct {
	order
	clock  clock
	parent *crew.Parent[message]
	mutex  locker
	now    section // what happens at the moment
}

// locker is a Mutex, or the lack of one.
type locker interface {
	Lock(context.Context) error
	Unlock() error
	Token() int64
}

func work(ctx context.Context, o order, parent *crew.Parent[message]) error {
	w := &worker{order: o, clock: newClock(), parent: parent, mutex: noLock{}}
	if o.NoLock {
		if err := errors.Join(parent.Tell(message{Ready: true}), parent.AwaitGo(ctx)); err != nil {
			return err
		}
		return w.work(ctx)
	}
	q, closeQueue, err := o.Place.Open()
	if err != nil {
		return err
	}
	defer closeQueue()
	w.mutex = lock.New(q, lock.WithTrace(&lock.Trace{Registered: w.registered}))
	return w.work(ctx)
}

func (w *worker) work(ctx context.Context) error {
	for round := 1; round <= w.Rounds; round++ {
		w.now = section{Process: w.Process, Round: round}
		if err := w.addOne(ctx); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if err := w.parent.Tell(message{Done: &w.now}); err != nil {
			return err
		}
	}
	return nil
}

// registered is called by Lock when the ticket is in line and not yet served.
func (w *worker) registered(t queue.Ticket) {
	first := w.now.Round == 1 && w.now.Ticket == 0
	w.now.Registered = w.clock.now()
	w.now.Ticket = t.Number
	if first {
		w.parent.Tell(message{Ready: true}) // if the parent is gone, the ctx ends
	}
}

// addOne is what the lock is for.
func (w *worker) addOne(ctx context.Context) (err error) {
	w.now.Called = w.clock.now()
	if err := w.mutex.Lock(ctx); err != nil {
		return err
	}
	defer func() {
		w.now.Released = w.clock.now()
		err = errors.Join(err, w.mutex.Unlock())
	}()
	w.now.Acquired = w.clock.now()
	w.now.Token = w.mutex.Token()

	w.now.Number, err = readNumber(w.NumberFile)
	if err != nil {
		return err
	}
	if w.now.Round == w.HoldInRound {
		return w.holdUntilKilled(ctx)
	}
	if err := cli.Sleep(ctx, pause); err != nil {
		return err
	}
	return writeNumber(w.NumberFile, w.now.Number+1)
}

func (w *worker) holdUntilKilled(ctx context.Context) error {
	if err := w.parent.Tell(message{Holding: &w.now}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// noLock lets every process in.
type noLock struct{}

func (noLock) Lock(ctx context.Context) error { return ctx.Err() }
func (noLock) Unlock() error                  { return nil }
func (noLock) Token() int64                   { return 0 }

// digits is how many digits the file has. Since it always has as many, a number
// is written in one piece, and half of one is never read, lock or no lock.
const digits = 10

func readNumber(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

func writeNumber(file string, n int) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%0*d", digits, n)
	return errors.Join(err, f.Close())
}
