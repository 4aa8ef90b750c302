// Metrics shows what a lock does in production: how long callers wait for it and
// hold it, how many are in line, and whether it was ever lost. The figures come
// from the trace hooks and are served as Prometheus text and as expvar; what
// should not happen is logged with log/slog.
//
//	go run ./examples/metrics                          # then open the address that it prints
//	go run ./examples/metrics -addr 127.0.0.1:9100 -redis localhost:6379
//	go run ./examples/metrics -for 5s -v               # logs every hold, prints the figures in the end
//
// A few goroutines take the lock again and again, so that there is something to
// see. To use it in a program of your own, take the part from "type metrics" on.
package main

import (
	"bytes"
	"context"
	"errors"
	"expvar"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1)
	}
}

// settings are what the arguments say.
type settings struct {
	addr, redis, name string
	lifetime          time.Duration
	lease, hold       time.Duration
	workers           int
	verbose           bool
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("metrics", flag.ContinueOnError)
	flags.StringVar(&s.addr, "addr", "127.0.0.1:0", "serve at this `host:port`; port 0 is any that is free")
	flags.StringVar(&s.redis, "redis", "", "keep the queue in the Redis server at this `host:port`")
	flags.StringVar(&s.name, "name", "", "the `name` of the lock in Redis, if it is to be shared with others")
	flags.DurationVar(&s.lifetime, "for", 0, "end after this time; 0 is when interrupted")
	flags.DurationVar(&s.lease, "lease", 30*time.Second, "the lease in Redis")
	flags.DurationVar(&s.hold, "hold", 20*time.Millisecond, "how long at most the lock is held")
	flags.IntVar(&s.workers, "workers", 4, "how many `goroutines` take the lock")
	flags.BoolVar(&s.verbose, "v", false, "log every hold")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.workers < 1:
		return s, errors.New("-workers must be at least 1")
	case s.lifetime < 0 || s.hold <= 0:
		return s, errors.New("-for and -hold must be above 0")
	}
	return s, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	if s.lifetime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.lifetime)
		defer cancel()
	}
	temporary, err := os.MkdirTemp("", "fifolock-metrics-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if s.name == "" {
		s.name = filepath.Base(temporary)
	}
	q, closeQueue := s.openQueue(filepath.Join(temporary, "queue"))
	defer closeQueue()

	m := newMetrics(s.name, q, s.logger())
	expvar.Publish("fifolock", expvar.Func(m.variables))
	stopServing, err := serve(s.addr, m, out)
	if err != nil {
		return err
	}
	defer stopServing()
	work(ctx, s, m, lock.New(q, lock.WithTrace(m.trace())))
	if s.lifetime > 0 {
		_, err = m.write(context.Background(), out)
	}
	return err
}

func (s settings) openQueue(directory string) (q queue.TicketQueue, closeQueue func()) {
	if s.redis == "" {
		return filequeue.New(directory), func() {}
	}
	client := redis.NewClient(&redis.Options{Addr: s.redis})
	return redisqueue.New(client, s.name, redisqueue.WithLease(s.lease)), func() { client.Close() }
}

func (s settings) logger() *slog.Logger {
	level := slog.LevelInfo
	if s.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// serve serves the figures until stop is called.
func serve(addr string, m *metrics, out io.Writer) (stop func(), err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m)
	mux.Handle("GET /debug/vars", expvar.Handler())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("serving the figures", "error", err)
		}
	}()
	for _, path := range []string{"/metrics", "/debug/vars"} {
		fmt.Fprintf(out, "http://%s%s\n", listener.Addr(), path)
	}
	return func() {
		server.Close()
		<-served
	}, nil
}

// work is the load: it takes the lock again and again until ctx ends.
func work(ctx context.Context, s settings, m *metrics, mutex *lock.Mutex) {
	var group sync.WaitGroup
	for range s.workers {
		group.Go(func() {
			for ctx.Err() == nil {
				if err := mutex.Lock(ctx); err != nil {
					if ctx.Err() == nil {
						m.log.Error("no lock", "error", err)
						sleep(ctx, time.Second) // the queue may work again by then
					}
					continue
				}
				hold(ctx, mutex, s.hold/2+rand.N(s.hold/2+1))
				if err := mutex.Unlock(); err != nil {
					m.unlockFailed(err)
				}
				sleep(ctx, rand.N(s.hold))
			}
		})
	}
	group.Wait()
}

// hold stands for what is done under the lock.
func hold(ctx context.Context, mutex *lock.Mutex, d time.Duration) {
	select {
	case <-time.After(d):
	case <-mutex.Lost():
	case <-ctx.Done():
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// metrics has the figures of one lock, and of this process alone but for the
// length of the queue.
type metrics struct {
	name  string
	queue queue.TicketQueue
	log   *slog.Logger

	mu               sync.Mutex
	registered       int64
	acquired         int64
	evicted          int64
	heartbeatsFailed int64
	lost             int64
	unlocksFailed    int64
	waits, holds     histogram
}

func newMetrics(name string, q queue.TicketQueue, log *slog.Logger) *metrics {
	return &metrics{name: name, queue: q, log: log.With("lock", name)}
}

// trace returns the hooks that count. They are called by every goroutine that
// uses the lock, on its way to it, so they do no more than that.
func (m *metrics) trace() *lock.Trace {
	return &lock.Trace{
		Registered: func(t queue.Ticket) {
			m.update(func() { m.registered++ })
			m.log.Debug("in line", "token", t.Number, "ahead", t.Ahead)
		},
		Acquired: func(t queue.Ticket, waited time.Duration) {
			m.update(func() { m.acquired++; m.waits.observe(waited) })
			m.log.Debug("acquired", "token", t.Number, "waited", waited)
		},
		HeartbeatFailed: func(t queue.Ticket, err error) {
			m.update(func() { m.heartbeatsFailed++ })
			m.log.Warn("heartbeat failed, it is tried again", "token", t.Number, "error", err)
		},
		Lost: func(t queue.Ticket, err error) {
			m.update(func() { m.lost++ })
			m.log.Error("lost while it was held", "token", t.Number, "error", err)
		},
		Released: func(t queue.Ticket, held time.Duration) {
			m.update(func() { m.holds.observe(held) })
			m.log.Debug("released", "token", t.Number, "held", held)
		},
		Evicted: func(t queue.Ticket) {
			m.update(func() { m.evicted++ })
			m.log.Warn("somebody in line was gone, and was evicted", "token", t.Number, "member", t.Member)
		},
	}
}

func (m *metrics) update(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// unlockFailed counts what no hook tells: that Unlock returned an error, which
// may be the first to say that the lock was lost.
func (m *metrics) unlockFailed(err error) {
	m.update(func() { m.unlocksFailed++ })
	m.log.Error("unlock failed", "error", err)
}

// histogram counts durations, in buckets whose upper bounds ascend.
type histogram struct {
	counts [len(bounds) + 1]int64 // the last one has no bound
	sum    time.Duration
}

var bounds = [...]time.Duration{
	100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second,
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += d
}

func (h *histogram) count() (n int64) {
	for _, c := range h.counts {
		n += c
	}
	return n
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

func (m *metrics) print(text *bytes.Buffer, length int, lengthKnown bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := printer{text, fmt.Sprintf("lock=%q", m.name)}
	p.value("fifolock_registered_total", "counter", "Tickets taken.", m.registered)
	p.value("fifolock_acquired_total", "counter", "Times that the lock was acquired.", m.acquired)
	p.value("fifolock_evicted_total", "counter", "Tickets of dead owners that this process took out of the line.", m.evicted)
	p.value("fifolock_heartbeats_failed_total", "counter", "Heartbeats that failed and were tried again.", m.heartbeatsFailed)
	p.value("fifolock_lost_total", "counter", "Times that the lock was lost while it was held.", m.lost)
	p.value("fifolock_unlocks_failed_total", "counter", "Unlocks that returned an error.", m.unlocksFailed)
	if lengthKnown {
		p.value("fifolock_queue_length", "gauge", "Who is in line, the holder and other processes included.", int64(length))
	}
	p.histogram("fifolock_wait_seconds", "From the call of Lock to the lock.", &m.waits)
	p.histogram("fifolock_hold_seconds", "From the lock to Unlock.", &m.holds)
}

// length is how many are in line now, in all processes.
func (m *metrics) length(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	members, err := queue.Members(ctx, m.queue)
	if err != nil {
		m.log.Warn("the length of the queue is not known", "error", err)
	}
	return len(members), err
}

// printer writes the Prometheus text format.
type printer struct {
	out    io.Writer
	labels string
}

func (p printer) head(name, kind, help string) {
	fmt.Fprintf(p.out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (p printer) value(name, kind, help string, value int64) {
	p.head(name, kind, help)
	fmt.Fprintf(p.out, "%s{%s} %d\n", name, p.labels, value)
}

func (p printer) histogram(name, help string, h *histogram) {
	p.head(name, "histogram", help)
	upTo := int64(0) // buckets are cumulative
	for i, bound := range bounds {
		upTo += h.counts[i]
		fmt.Fprintf(p.out, "%s_bucket{%s,le=\"%g\"} %d\n", name, p.labels, bound.Seconds(), upTo)
	}
	fmt.Fprintf(p.out, "%s_bucket{%s,le=\"+Inf\"} %d\n", name, p.labels, h.count())
	fmt.Fprintf(p.out, "%s_sum{%s} %g\n", name, p.labels, h.sum.Seconds())
	fmt.Fprintf(p.out, "%s_count{%s} %d\n", name, p.labels, h.count())
}

// variables are the figures for expvar.
func (m *metrics) variables() any {
	length, err := m.length(context.Background())
	m.mu.Lock()
	defer m.mu.Unlock()
	v := map[string]any{
		"lock":              m.name,
		"registered":        m.registered,
		"acquired":          m.acquired,
		"evicted":           m.evicted,
		"heartbeats_failed": m.heartbeatsFailed,
		"lost":              m.lost,
		"unlocks_failed":    m.unlocksFailed,
		"wait_seconds":      m.waits.sum.Seconds(),
		"hold_seconds":      m.holds.sum.Seconds(),
	}
	if err == nil {
		v["queue_length"] = length
	}
	return v
}
