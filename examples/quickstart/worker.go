package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// workerVariable makes this program a worker; its value is an order.
const workerVariable = "FIFOLOCK_QUICKSTART_WORKER"

// pause is how long a section takes between reading and writing the number:
// ages for another process to do the same, if the lock let it.
const pause = 10 * time.Millisecond

// order is what the parent tells a worker to do.
type order struct {
	Process     int
	Rounds      int
	HoldInRound int // hold the lock in this round until killed; 0 for never
	Place       place
}

func isWorker() bool { return os.Getenv(workerVariable) != "" }

func workerMain() int {
	// Ctrl-C reaches every process of the terminal. The parent decides what is
	// to be done about it; its end of stdin tells.
	signal.Ignore(os.Interrupt)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	tell := json.NewEncoder(os.Stdout)
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(workerVariable)), &o); err != nil {
		tell.Encode(message{Failed: err.Error()})
		return 1
	}
	w := &worker{order: o, clock: newClock(), tell: tell}
	if err := w.work(ctx); err != nil {
		tell.Encode(message{Failed: err.Error()})
		return 1
	}
	return 0
}

// worker adds 1 to the number in the file, again and again.
type worker struct {
	order
	clock clock
	tell  *json.Encoder
	mutex *lock.Mutex
	now   section // what happens at the moment
}

func (w *worker) work(ctx context.Context) error {
	q, closeQueue := w.Place.openQueue()
	defer closeQueue()
	w.mutex = lock.New(q, lock.WithTrace(&lock.Trace{Registered: w.registered}))
	for round := 1; round <= w.Rounds; round++ {
		w.now = section{Process: w.Process, Round: round}
		if err := w.addOne(ctx); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if err := w.tell.Encode(message{Done: &w.now}); err != nil {
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
		w.tell.Encode(message{InLine: true})
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
		if unlockErr := w.mutex.Unlock(); err == nil {
			err = unlockErr
		}
	}()
	w.now.Acquired = w.clock.now()
	w.now.Token = w.mutex.Token()

	w.now.Number, err = readNumber(w.Place.numberFile())
	if err != nil {
		return err
	}
	if w.now.Round == w.HoldInRound {
		return w.holdUntilKilled(ctx)
	}
	time.Sleep(pause)
	return writeNumber(w.Place.numberFile(), w.now.Number+1)
}

func (w *worker) holdUntilKilled(ctx context.Context) error {
	if err := w.tell.Encode(message{Holding: &w.now}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func readNumber(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func writeNumber(file string, n int) error {
	return os.WriteFile(file, []byte(strconv.Itoa(n)), 0o600)
}
