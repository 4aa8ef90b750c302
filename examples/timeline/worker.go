package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// workerVariable makes this program a worker; its value is an order.
const workerVariable = "FIFOLOCK_TIMELINE_WORKER"

// order is what the parent tells a worker to do.
type order struct {
	Process, Rounds int
	Hold            time.Duration
	Kind            string
	Path            string
	Redis           string
}

const (
	fairLock    = "fair"
	pollingLock = "polling"
)

var titles = map[string]string{
	fairLock:    "fifolock: whoever came first is served first",
	pollingLock: "a lock that is polled every 10 ms: luck decides",
}

const pollInterval = 10 * time.Millisecond

func isWorker() bool { return os.Getenv(workerVariable) != "" }

// work tells the parent that it is ready, waits for its word, takes the lock as
// often as it should, and tells what it has seen.
func work() error {
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(workerVariable)), &o); err != nil {
		return err
	}
	l, closeLocker := o.locker()
	defer closeLocker()

	stdin := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	if _, err := stdin.ReadByte(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // stdin ends with the parent
		for {
			if _, err := stdin.ReadByte(); err != nil {
				cancel()
				return
			}
		}
	}()
	turns, err := o.takeTurns(ctx, l)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(turns)
}

// locker is one of the two kinds of lock.
type locker interface {
	// lock returns when the caller owns the lock. Before that it calls inLine,
	// when the caller has taken its place, or has tried for the first time.
	lock(ctx context.Context, inLine func()) error
	unlock() error
}

func (o order) locker() (l locker, closeLocker func()) {
	switch {
	case o.Kind == pollingLock:
		return polling{flock.New(o.Path)}, func() {}
	case o.Redis == "":
		return newFair(filequeue.New(o.Path)), func() {}
	}
	client := redis.NewClient(&redis.Options{Addr: o.Redis})
	name := filepath.Base(filepath.Dir(o.Path)) // nobody else's
	return newFair(redisqueue.New(client, name)), func() { client.Close() }
}

// fair is a fifolock.
type fair struct {
	mutex  *lock.Mutex
	inLine func()
}

func newFair(q queue.TicketQueue) *fair {
	f := &fair{}
	f.mutex = lock.New(q, lock.WithTrace(&lock.Trace{Registered: func(queue.Ticket) { f.inLine() }}))
	return f
}

func (f *fair) lock(ctx context.Context, inLine func()) error {
	f.inLine = inLine // there is one goroutine
	return f.mutex.Lock(ctx)
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
		pause(ctx, upTo(2*o.Hold))
		t.Called = time.Now()
		if err := l.lock(ctx, func() { t.InLine = time.Now() }); err != nil {
			return nil, err
		}
		t.Acquired = time.Now()
		pause(ctx, o.Hold/2+upTo(o.Hold/2+1))
		t.Released = time.Now()
		if err := l.unlock(); err != nil {
			return nil, err
		}
	}
	return turns, ctx.Err()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
