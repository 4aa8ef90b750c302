package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// metrics has the figures of one lock, and of this process alone but for the
// length of the queue.
type metrics struct {
	name  string
	queue queue.TicketQueue

	mu sync.Mutex // guards the rest

	// waiting and holding are how many do so now. Each ticket of which Registered
	// is told is told of once more, by Acquired or Failed, and each hold by Released
	// or Lost: so both come back to 0.
	waiting, holding int64

	registered       int64
	acquired         int64
	failed           [reasons]int64
	evicted          int64
	heartbeatsFailed int64
	lost             int64
	releasesFailed   int64
	waits, holds     histogram
}

// reason is why a call did not get the lock.
type reason int

const (
	cancelled reason = iota // its caller wants it no more, at the end of the program, say
	busy                    // it had to wait for longer than its ctx or WithMaxWait allows
	evicted                 // its ticket was taken out of the line; it goes on with a new one
	failure                 // anything else: the queue does not answer, say
	reasons
)

func (r reason) String() string {
	return [reasons]string{"cancelled", "busy", "evicted", "error"}[r]
}

func reasonOf(err error) reason {
	switch {
	case errors.Is(err, context.Canceled): // also if it was busy
		return cancelled
	case errors.Is(err, lock.ErrBusy):
		return busy
	case errors.Is(err, queue.ErrNotQueued):
		return evicted
	}
	return failure
}

// trace returns the hooks that count. They are called by every goroutine that
// uses the lock, on its way to it, so they do no more than that.
func (m *metrics) trace() *lock.Trace {
	return &lock.Trace{
		Registered: func(queue.Ticket) {
			m.update(func() { m.registered++; m.waiting++ })
		},
		Acquired: func(_ queue.Ticket, waited time.Duration) {
			m.update(func() { m.acquired++; m.waiting--; m.holding++; m.waits.observe(waited) })
		},
		Failed: func(t queue.Ticket, _ time.Duration, err error) {
			m.update(func() {
				m.failed[reasonOf(err)]++
				if t != (queue.Ticket{}) { // it was in line
					m.waiting--
				}
			})
		},
		HeartbeatFailed: func(queue.Ticket, error) {
			m.update(func() { m.heartbeatsFailed++ })
		},
		Lost: func(queue.Ticket, error) {
			m.update(func() { m.lost++; m.holding-- })
		},
		Released: func(_ queue.Ticket, held time.Duration) {
			m.update(func() { m.holding--; m.holds.observe(held) })
		},
		ReleaseFailed: func(_ queue.Ticket, err error) {
			m.update(func() {
				if errors.Is(err, lock.ErrLost) { // found out only now
					m.lost++
				} else {
					m.releasesFailed++
				}
			})
		},
		Evicted: func(queue.Ticket) {
			m.update(func() { m.evicted++ })
		},
	}
}

func (m *metrics) update(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// length is how many are in line now, in all processes.
func (m *metrics) length(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	members, err := queue.Members(ctx, m.queue)
	return len(members), err
}

// ServeHTTP serves the figures in the Prometheus text format.
func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	m.write(r.Context(), w)
}

// write writes all figures. None is locked while a slow reader takes them.
func (m *metrics) write(ctx context.Context, out io.Writer) (int64, error) {
	length, err := m.length(ctx)
	var text bytes.Buffer
	m.print(&text, length, err == nil)
	return text.WriteTo(out)
}

// variables are the figures for expvar.
func (m *metrics) variables() any {
	length, err := m.length(context.Background())
	m.mu.Lock()
	defer m.mu.Unlock()
	v := map[string]any{
		"lock":              m.name,
		"waiting":           m.waiting,
		"holding":           m.holding,
		"registered":        m.registered,
		"acquired":          m.acquired,
		"failed_cancelled":  m.failed[cancelled],
		"failed_busy":       m.failed[busy],
		"failed_evicted":    m.failed[evicted],
		"failed_error":      m.failed[failure],
		"evicted":           m.evicted,
		"heartbeats_failed": m.heartbeatsFailed,
		"lost":              m.lost,
		"releases_failed":   m.releasesFailed,
		"wait_seconds":      m.waits.sum.Seconds(),
		"hold_seconds":      m.holds.sum.Seconds(),
	}
	if err == nil {
		v["queue_length"] = length
	}
	return v
}
