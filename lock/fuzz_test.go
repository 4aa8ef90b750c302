package lock_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// hostileBackOff gives the times that it was made of, over and over.
type hostileBackOff struct {
	times []time.Duration
	next  int
	calls *atomic.Int64
}

func (b *hostileBackOff) NextBackOff() time.Duration {
	b.calls.Add(1)
	if len(b.times) == 0 {
		return backoff.Stop
	}
	b.next++
	return b.times[(b.next-1)%len(b.times)]
}

func (b *hostileBackOff) Reset() {}

// hostileTimes makes times of bytes.
func hostileTimes(program []byte) (times []time.Duration) {
	for _, b := range program {
		times = append(times, [...]time.Duration{
			backoff.Stop, 0, -time.Hour, math.MinInt64, math.MaxInt64, 1, time.Microsecond, time.Millisecond,
			time.Duration(b), time.Duration(b) * time.Millisecond, 1 << 62, -2,
		}[b%12])
	}
	return times
}

// leastPoll is what there must be between two looks, whatever a backoff says.
const leastPoll = time.Millisecond

// FuzzOptions: with any options the first call returns an error, or everything
// works. Nothing panics, hangs, or looks all the time.
func FuzzOptions(f *testing.F) {
	const (
		onRedis = 1 << iota
		stale
		mode
		release
		hostile
		nilBackOff
	)
	for _, kind := range []byte{0, onRedis} {
		f.Add(kind, int64(0), uint32(0), int64(0), []byte{})
		for _, d := range []int64{0, -1, 1, int64(time.Millisecond), int64(10 * time.Millisecond), int64(time.Second), math.MaxInt64, math.MinInt64, math.MaxInt64 / 2} {
			f.Add(kind|stale, d, uint32(0), int64(0), []byte{})
			f.Add(kind|release, int64(0), uint32(0), d, []byte{})
		}
		for _, m := range []uint32{0, 0o600, 0o666, 0o660, 0o777, 0o400, 0o4600, math.MaxUint32, uint32(fs.ModeSymlink) | 0o600} {
			f.Add(kind|mode, int64(0), m, int64(0), []byte{})
		}
		for _, program := range []string{"", "\x00", "\x01", "\x02", "\x03", "\x04", "\x05", "\x00\x01", "\x0a\x01\x0b"} {
			f.Add(kind|hostile, int64(0), uint32(0), int64(0), []byte(program))
		}
		f.Add(kind|hostile|nilBackOff, int64(0), uint32(0), int64(0), []byte{})
	}
	// Not miniredis: twice the longest lease is less than nothing to it.
	client := redistest.Client(f)
	f.Fuzz(func(t *testing.T, flags byte, staleTimeout int64, fileMode uint32, releaseTimeout int64, program []byte) {
		var calls atomic.Int64
		var fileOptions []filequeue.Option
		var redisOptions []redisqueue.Option
		var lockOptions []lock.Option
		if flags&stale != 0 {
			fileOptions = append(fileOptions, filequeue.WithStaleTimeout(time.Duration(staleTimeout)))
			redisOptions = append(redisOptions, redisqueue.WithLease(time.Duration(staleTimeout)))
		}
		if flags&mode != 0 {
			fileOptions = append(fileOptions, filequeue.WithFileMode(fs.FileMode(fileMode)))
		}
		if flags&release != 0 {
			lockOptions = append(lockOptions, lock.WithReleaseTimeout(time.Duration(releaseTimeout)))
		}
		if flags&hostile != 0 {
			lockOptions = append(lockOptions, lock.WithBackOff(func() backoff.BackOff {
				if flags&nilBackOff != 0 {
					return nil
				}
				return &hostileBackOff{times: hostileTimes(program), calls: &calls}
			}))
		}
		make := func() queue.TicketQueue { return filequeue.New(filepath.Join(busyDir(t), "queue"), fileOptions...) }
		if flags&onRedis != 0 {
			make = func() queue.TicketQueue { return redisqueue.New(client, redistest.Name(t), redisOptions...) }
		}
		o := optionsTest{T: t, client: client, calls: &calls, q: make(), opts: lockOptions}
		// What may end a hold, or leave a ticket behind, although everything
		// works: a lease that a slow machine does not keep, and no time to release.
		o.hasty = flags&release != 0 && time.Duration(releaseTimeout) < time.Minute
		o.frail = flags&stale != 0 && time.Duration(staleTimeout) < time.Minute || o.hasty
		o.leased = flags&(onRedis|stale) != 0
		o.check()
	})
}

// busyDir is a directory in which an Unlock that has given up waiting may still
// be removing its ticket when the test ends.
func busyDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "fifolock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for os.RemoveAll(dir) != nil {
			time.Sleep(time.Millisecond)
		}
	})
	return dir
}

type optionsTest struct {
	*testing.T
	client *redis.Client
	calls  *atomic.Int64
	q      queue.TicketQueue
	opts   []lock.Option
	frail  bool // a hold may end by itself, and an Unlock fail
	hasty  bool // an Unlock may fail
	leased bool // a ticket ends by itself
}

func (o *optionsTest) check() {
	m, other := lock.New(o.q, o.opts...), lock.New(o.q, o.opts...)
	began := time.Now()
	if err := m.Lock(o.Context()); err != nil {
		o.checkRefused(err, m)
		return
	}
	first := m.Token()

	// A waiter that has a moment looks now and then, and leaves when told to.
	ctx, cancel := context.WithTimeout(o.Context(), 5*time.Millisecond)
	defer cancel()
	err := other.Lock(ctx)
	switch {
	case err == nil && !o.frail:
		o.Errorf("the lock was given to two")
	case err == nil:
		_ = other.Unlock()
	case !errors.Is(err, context.DeadlineExceeded):
		o.Errorf("a Lock that had to wait: %v", err)
	}
	// A Stop is asked for twice: before and after the Reset.
	if calls, most := o.calls.Load(), 2*int64(time.Since(began)/leastPoll)+4; calls > most && !o.frail {
		o.Errorf("the backoff was asked %d times within %v, want at most %d", calls, time.Since(began), most)
	}

	// A waiter that has the time gets its turn.
	if o.hasty && o.leased {
		_ = o.unlock(m)
		return // there was no time to remove the ticket: it lasts as long as its lease
	}
	turn := make(chan error)
	go func() { turn <- other.Lock(o.Context()) }()
	_ = o.unlock(m)
	if err := <-turn; err != nil {
		o.Fatalf("the Lock after an Unlock: %v", err)
	}
	if other.Token() <= first {
		o.Errorf("token %d after %d, want more", other.Token(), first)
	}
	_ = o.unlock(other)
}

// checkRefused checks that what was refused once is refused always, and in words.
func (o *optionsTest) checkRefused(err error, m *lock.Mutex) {
	if ok, again := m.TryLock(o.Context()); ok || again == nil {
		o.Errorf("Lock was refused (%v), TryLock not", err)
	}
	if uerr := m.Unlock(); !errors.Is(uerr, lock.ErrNotLocked) {
		o.Errorf("Unlock after a Lock that was refused: %v", uerr)
	}
	if o.Context().Err() != nil {
		o.Errorf("Lock: %v", err)
	}
}

func (o *optionsTest) unlock(m *lock.Mutex) error {
	err := m.Unlock()
	if err != nil && !o.frail {
		o.Errorf("Unlock: %v", err)
	}
	return err
}
