// Metrics shows what a lock does in production: how long callers wait for it and
// hold it, how many wait and hold now, which calls fail, and whether it was ever
// lost. The figures come from the trace hooks and are served as Prometheus text and
// as expvar; lock.LogTrace logs beside them what should not happen.
//
//	go run ./examples/metrics                          # then open the address that it prints
//	go run ./examples/metrics -addr 127.0.0.1:9100 -redis localhost:6379
//	go run ./examples/metrics -for 5s -v               # logs every hold, prints the figures in the end
//	go run ./examples/metrics -wait 30ms               # some callers do not want to wait so long
//
// A few goroutines take the lock again and again, so that there is something to
// see. To use it in a program of your own, take metrics.go and prometheus.go.
//
// What to alert on: fifolock_lost_total and fifolock_releases_failed_total (check
// what was done under the lock), fifolock_heartbeats_failed_total (it may soon be lost),
// fifolock_failed_total with the reason "error" (the queue is out of reach, or a hold that
// was lost is not unlocked), and fifolock_wait_seconds.
//
// Exit codes:
//
//	0  it has ended after -for, or was interrupted
//	1  the lock cannot be used, or the figures cannot be served
//	2  the arguments make no sense
package main

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/lock"
)

func main() { cli.Main("metrics", run) }

// settings are what the arguments say.
type settings struct {
	addr                 string
	lifetime, hold, wait time.Duration
	workers              int
	verbose              bool
	place                cli.Place
}

func parse(args []string) (settings, error) {
	var s settings
	flags := cli.NewFlags("metrics", "[flags]")
	flags.StringVar(&s.addr, "addr", "127.0.0.1:0", "serve at this `host:port`; port 0 is any that is free")
	flags.Duration(&s.lifetime, "for", 0, "end after this `time`, and print the figures")
	flags.Duration(&s.hold, "hold", 20*time.Millisecond, "the `time` that the lock is held at most")
	flags.Duration(&s.wait, "wait", 0, "the `time` that a caller waits at most")
	flags.Int(&s.workers, "workers", 4, 1, 10_000, "how many `goroutines` take the lock")
	flags.BoolVar(&s.verbose, "v", false, "log every hold")
	flags.Place(&s.place, false)
	flags.Lease(&s.place, 30*time.Second)
	flags.Crash(&s.place)
	return s, flags.Parse(args)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	if s.lifetime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer time.AfterFunc(s.lifetime, cancel).Stop() // a deadline would count as a lock that was busy
	}
	_, remove, err := s.place.Own("metrics")
	if err != nil {
		return err
	}
	defer remove()
	if err := s.place.Reach(ctx); err != nil {
		return err
	}
	q, closeQueue, err := s.place.Open()
	if err != nil {
		return err
	}
	defer closeQueue()

	log := s.logger().With("lock", s.place.Name+s.place.File)
	m := &metrics{name: s.place.Name + s.place.File, queue: q}
	options := []lock.Option{lock.WithTrace(m.trace()), lock.WithTrace(lock.LogTrace(log))}
	if s.wait > 0 {
		options = append(options, lock.WithMaxWait(s.wait))
	}
	mutex := lock.New(q, options...)

	expvar.Publish("fifolock", expvar.Func(m.variables))
	stopServing, err := serve(s.addr, m, log, out)
	if err != nil {
		return err
	}
	defer stopServing()
	s.work(ctx, mutex)
	if s.lifetime > 0 {
		_, err = m.write(context.Background(), out)
	}
	return err
}

func (s settings) logger() *slog.Logger {
	level := slog.LevelInfo
	if s.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// serve serves the figures until stop is called.
func serve(addr string, m *metrics, log *slog.Logger, out io.Writer) (stop func(), err error) {
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
			log.Error("serving the figures", "error", err)
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
func (s settings) work(ctx context.Context, mutex *lock.Mutex) {
	var group sync.WaitGroup
	for range s.workers {
		group.Go(func() {
			for ctx.Err() == nil {
				s.workOnce(ctx, mutex)
			}
		})
	}
	group.Wait()
}

// workOnce need not say what fails: the hooks do.
func (s settings) workOnce(ctx context.Context, mutex *lock.Mutex) {
	if err := mutex.Lock(ctx); err != nil {
		if !errors.Is(err, lock.ErrBusy) {
			cli.Sleep(ctx, time.Second) // the queue may work again by then
		}
		return
	}
	hold(ctx, mutex, s.hold/2+rand.N(s.hold/2+1))
	mutex.Unlock()
	cli.Sleep(ctx, rand.N(s.hold))
}

// hold stands for what is done under the lock.
func hold(ctx context.Context, mutex *lock.Mutex, d time.Duration) {
	select {
	case <-time.After(d):
	case <-mutex.Lost():
	case <-ctx.Done():
	}
}
