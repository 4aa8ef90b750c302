// Cron shows one job that is planned on several hosts, and has to run once.
//
// Every host starts it at the same time. The host that gets the lock runs it; the
// others see that it is taken, and skip it (TryLock). With -queue they wait
// instead, and run it one after the other in the order of arrival (Lock): for
// a job that every host must do, but never two at a time.
//
//	go run ./examples/cron                          # one runs, the others skip
//	go run ./examples/cron -queue                   # all run, one after the other
//	go run ./examples/cron -hosts 5 -times 10
//	go run ./examples/cron -redis localhost:6379    # a lock between machines
//
// The hosts are goroutines here, each with a queue, a connection and a Mutex of its
// own, which is the same to the lock as if each were a process or a machine.
//
// The lock alone does not make a job run once: a host whose clock is late would
// find the lock free again, when the job has been done already. So the host that
// has the lock looks first whether that is so, in a record that all hosts share,
// and the record refuses a token that is lower than the last.
//
// Exit codes:
//
//	0  every job was run as often as it should be
//	1  it was not, or the lock could not be used, or it was interrupted
//	2  the arguments make no sense
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/lock"
)

func main() { cli.Main("cron", cron) }

func cron(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	_, remove, err := s.place.Own("cron")
	if err != nil {
		return err
	}
	defer remove()

	r := &record{out: out}
	hosts := make([]*host, s.hosts)
	for i := range hosts {
		q, closeQueue, err := s.place.Open()
		if err != nil {
			return err
		}
		defer closeQueue()
		hosts[i] = &host{fmt.Sprintf("host%d", i+1), s, lock.New(q), r}
	}
	for minute := 1; minute <= s.times; minute++ {
		if minute > 1 {
			if err := cli.Sleep(ctx, s.every); err != nil {
				return err
			}
		}
		if err := everywhere(ctx, hosts, minute); err != nil {
			return err
		}
	}
	return r.report(s)
}

// settings are what the arguments say.
type settings struct {
	hosts, times int
	every, job   time.Duration
	queue        bool
	place        cli.Place
}

func parse(args []string) (settings, error) {
	var s settings
	flags := cli.NewFlags("cron", "[flags]")
	flags.Int(&s.hosts, "hosts", 3, 1, 1000, "how many `hosts` have the job")
	flags.Int(&s.times, "times", 3, 1, 1_000_000, "how many `times` it is due")
	flags.Duration(&s.every, "every", time.Second, "the `time` from one to the next")
	flags.Duration(&s.job, "job", 200*time.Millisecond, "the `time` that it takes")
	flags.BoolVar(&s.queue, "queue", false, "let every host run it in turn, instead of one of them")
	flags.Place(&s.place, false)
	flags.Lease(&s.place, 30*time.Second)
	flags.Crash(&s.place)
	return s, flags.Parse(args)
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
				cancel(fmt.Errorf("%s: %w", h.name, err)) // after a failure no host waits for the others
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
	held, cancel := h.whileHeld(ctx)
	defer cancel()
	err = h.run(held, minute, "")
	return errors.Join(err, h.mutex.Unlock())
}

// whileHeld returns a ctx that ends also when the lock is lost, as Do gives one.
func (h *host) whileHeld(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-h.mutex.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// run is the job, under the lock. of is the host whose job it is, or empty for
// the one job that the hosts have in common.
func (h *host) run(ctx context.Context, minute int, of string) error {
	token := h.mutex.Token()
	done, err := h.record.isDone(minute, of, token)
	if err != nil {
		return err
	}
	if done {
		h.record.tell(minute, h.name, "skips: another host was faster and is done")
		return nil
	}
	h.record.tell(minute, h.name, fmt.Sprintf("RUNS the job, with token %d", token))
	if err := cli.Sleep(ctx, h.settings.job); err != nil {
		return err
	}
	h.record.tell(minute, h.name, "is done")
	return h.record.done(minute, of, token)
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
	of     string
}

// isDone reports whether the job was done. A token is shown for this, too: once the new
// holder has looked, the old one must not write any more.
func (r *record) isDone(minute int, of string, token int64) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.runs, run{minute, of}), r.admit(token)
}

// done notes that the job was done.
func (r *record) done(minute int, of string, token int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.admit(token); err != nil {
		return err
	}
	r.runs = append(r.runs, run{minute, of})
	return nil
}

// admit refuses a token after a higher one: then the lock was lost, and another host may
// have done the job. mu is held.
func (r *record) admit(token int64) error {
	if token < r.token {
		return fmt.Errorf("token %d comes after %d: the job took longer than the lock could be kept", token, r.token)
	}
	r.token = token
	return nil
}

func (r *record) tell(minute int, host, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "minute %d  %-6s %s\n", minute, host, what)
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
