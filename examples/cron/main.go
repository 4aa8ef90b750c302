// Cron shows one job that is planned on several hosts, and has to run once.
//
// Every host starts it at the same time. Whoever gets the lock runs it; the
// others see that it is taken, and skip it (TryLock). With -queue they wait
// instead, and run it one after the other in the order of arrival (Lock): for
// a job that every host must do, but never two at a time.
//
//	go run ./examples/cron                          # one runs, the others skip
//	go run ./examples/cron -queue                   # all run, one after the other
//	go run ./examples/cron -hosts 5 -times 10
//	go run ./examples/cron -redis localhost:6379    # a lock between machines
//
// The hosts are goroutines here, each with a Mutex of its own, which is the same
// to the lock as if each were a process or a machine.
//
// The lock alone does not make a job run once: a host whose clock is late would
// find the lock free again, when the job has been done already. So whoever has
// the lock looks first whether that is so, in a record that all hosts share, and
// the record refuses a token that is lower than the last.
//
// The exit code is 0 if every job was run as often as it should be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	err := cron(ctx, os.Args[1:], os.Stdout)
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "cron:", err)
		os.Exit(1)
	}
}

func cron(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	temporary, err := os.MkdirTemp("", "fifolock-cron-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	newQueue, closeQueues := s.queues(temporary)
	defer closeQueues()

	r := &record{out: out}
	hosts := make([]*host, s.hosts)
	for i := range hosts {
		hosts[i] = &host{fmt.Sprintf("host%d", i+1), s, lock.New(newQueue()), r}
	}
	for minute := 1; minute <= s.times; minute++ {
		if err := everywhere(ctx, hosts, minute); err != nil {
			return err
		}
		if minute < s.times {
			if err := sleep(ctx, s.every); err != nil {
				return err
			}
		}
	}
	return r.report(s)
}

// settings are what the arguments say.
type settings struct {
	hosts, times int
	every, job   time.Duration
	queue        bool
	redis        string
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("cron", flag.ContinueOnError)
	flags.IntVar(&s.hosts, "hosts", 3, "how many `hosts` have the job")
	flags.IntVar(&s.times, "times", 3, "how many `times` it is due")
	flags.DurationVar(&s.every, "every", time.Second, "how long from one time to the next")
	flags.DurationVar(&s.job, "job", 200*time.Millisecond, "how long it takes")
	flags.BoolVar(&s.queue, "queue", false, "let every host run it in turn, instead of one of them")
	flags.StringVar(&s.redis, "redis", "", "keep the queue in the Redis server at this `host:port`")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.hosts < 1 || s.times < 1:
		return s, errors.New("-hosts and -times must be at least 1")
	case s.every < 0 || s.job < 0:
		return s, errors.New("-every and -job must not be below 0")
	}
	return s, nil
}

// queues returns what makes the queue of a host, all of them on one line, and
// what closes their connections.
func (s settings) queues(temporary string) (newQueue func() queue.TicketQueue, closeQueues func()) {
	if s.redis == "" {
		return func() queue.TicketQueue { return filequeue.New(filepath.Join(temporary, "queue")) }, func() {}
	}
	var clients []*redis.Client
	newQueue = func() queue.TicketQueue {
		client := redis.NewClient(&redis.Options{Addr: s.redis})
		clients = append(clients, client)
		return redisqueue.New(client, filepath.Base(temporary))
	}
	return newQueue, func() {
		for _, c := range clients {
			c.Close()
		}
	}
}

// everywhere lets the job of that minute begin on all hosts, and returns when
// all have done with it, with the first error that came.
func everywhere(ctx context.Context, hosts []*host, minute int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, h := range hosts {
		group.Go(func() {
			if err := h.begin(ctx, minute); err != nil {
				cancel(fmt.Errorf("%s: %w", h.name, err)) // nobody waits for the others after a failure
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// host is a machine with a crontab.
type host struct {
	name     string
	settings settings
	mutex    *lock.Mutex
	record   *record
}

// begin is called on every host when the job is due.
func (h *host) begin(ctx context.Context, minute int) error {
	if h.settings.queue {
		return h.mutex.Do(ctx, func(ctx context.Context) error { return h.run(ctx, minute, h.name) })
	}
	ok, err := h.mutex.TryLock(ctx)
	if err != nil {
		return err
	}
	if !ok {
		h.record.tell(minute, h.name, "skips: another host is at it")
		return nil
	}
	err = h.run(ctx, minute, "")
	return errors.Join(err, h.mutex.Unlock())
}

// run is the job, under the lock. who tells jobs of one minute apart that are
// not the same job.
func (h *host) run(ctx context.Context, minute int, who string) error {
	if h.record.isDone(minute, who) {
		h.record.tell(minute, h.name, "skips: another host was faster and is done")
		return nil
	}
	h.record.tell(minute, h.name, fmt.Sprintf("RUNS the job, with token %d", h.mutex.Token()))
	if err := sleep(ctx, h.settings.job); err != nil {
		return err
	}
	h.record.tell(minute, h.name, "is done")
	return h.record.done(minute, who, h.mutex.Token())
}

// record stands for a table in the database that all hosts use.
type record struct {
	mu    sync.Mutex
	out   io.Writer
	runs  []run
	token int64 // the highest so far
}

// run is a job that was done.
type run struct {
	minute int
	who    string
}

func (r *record) isDone(minute int, who string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, done := range r.runs {
		if done == (run{minute, who}) {
			return true
		}
	}
	return false
}

// done notes that the job was done, unless somebody with a higher token has
// been here meanwhile: then the lock was lost, and the job may have been done
// by another one.
func (r *record) done(minute int, who string, token int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if token < r.token {
		return fmt.Errorf("token %d comes after %d: the job took longer than the lock could be kept", token, r.token)
	}
	r.token = token
	r.runs = append(r.runs, run{minute, who})
	return nil
}

func (r *record) tell(minute int, who, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "minute %d  %-6s %s\n", minute, who, what)
}

// report says how often jobs were run, and returns an error if that is wrong.
func (r *record) report(s settings) error {
	want := s.times
	if s.queue {
		want *= s.hosts
	}
	fmt.Fprintf(r.out, "\n%d hosts, due %d times: %d jobs were run, %d should be.\n", s.hosts, s.times, len(r.runs), want)
	if len(r.runs) != want {
		return errors.New("the jobs were not run as often as they should be")
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
