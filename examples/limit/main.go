// Limit shows a semaphore at work, and checks it: a service that can bear only so
// many calls at a time, and more workers than that, on several processes.
//
// Every worker waits for a permit, calls the service, and gives the permit back, in
// the order of arrival. One of the processes is killed with SIGKILL in the middle
// of its calls, and the others take over its permits: in a directory at once; on
// Redis when its lease ends, or with -crash after that time, and until then those of
// its tickets that were waiting are in the way, too, as they come to the front. At the end a table says how many
// calls there were at a time, which is what the service has counted, that none was
// let in before those that came earlier, how long it took until all permits were in
// use again, and that nothing was left behind.
//
//	go run ./examples/limit                          # a queue in a directory, no server
//	go run ./examples/limit -redis localhost:6379    # a queue in Redis
//	go run ./examples/limit -redis localhost:6379 -crash 1s
//	go run ./examples/limit -max 5 -procs 8          # at most 5 at a time
//
// Exit codes:
//
//	0  all is as the table says it should be
//	1  it is not, or it could not be finished, or was interrupted
//	2  the arguments make no sense
//
// The files, in the order to read them: worker.go is the program that uses the
// semaphore, service.go is the service, check.go judges what it has seen.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/crew"
	"github.com/fifolock/fifolock/examples/internal/verdict"
)

// lease is how long Redis believes a process that has fallen silent. It is short,
// so that the demonstration does not wait the usual 30 s for that of the killed
// process.
const lease = 2 * time.Second

// runTimeout is how long a run may take, besides two leases and the time of all
// calls one after the other.
const runTimeout = 20 * time.Second

// victim is the process that is killed.
const victim = 2

func main() {
	if crew.IsWorker() {
		crew.Work(work)
	}
	cli.Main("limit", limit)
}

// settings are what the flags say.
type settings struct {
	procs, workers int
	max            int
	calls          int
	took           time.Duration
	place          cli.Place
}

// longestCall leaves a worker the time to finish before it is killed.
const longestCall = 2 * time.Second

func parse(args []string) (settings, error) {
	var s settings
	flags := cli.NewFlags("limit", "[flags]")
	flags.Int(&s.procs, "procs", 4, 2, 100, "how many `processes` to start")
	flags.Int(&s.workers, "workers", 3, 1, 100, "how many `workers` each of them has")
	flags.Int(&s.max, "max", 3, 1, 1000, "how `many` calls the service can bear at a time")
	flags.Int(&s.calls, "calls", 40, 1, 1_000_000, "how many `calls` there are before the kill, and again when all permits are in use after it")
	flags.Duration(&s.took, "took", 50*time.Millisecond, "the `time` that a call takes")
	flags.Place(&s.place, false)
	flags.Lease(&s.place, lease)
	flags.Crash(&s.place)
	flags.Check(func() error {
		if s.took > longestCall {
			return fmt.Errorf("-took is above %v: a worker that is told to stop finishes its call before", longestCall)
		}
		if (s.procs-1)*s.workers <= s.max {
			return fmt.Errorf("with a process less, %d processes with %d workers each must still be more than -max: nothing would wait",
				s.procs, s.workers)
		}
		return nil
	})
	return s, flags.Parse(args)
}

// limit returns an error if the run could not be finished, or if something that
// the report says is not as it should be.
func limit(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	_, remove, err := s.place.Own("limit")
	if err != nil {
		return err
	}
	defer remove()
	if err := s.place.Reach(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, s.describe())
	o, err := run(ctx, s)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "calls at a time, every %v:\n%s\n\n", chartStep, o.chart())
	checks := check(o)
	verdict.Print(out, checks)
	return verdict.Error(checks)
}

func (s settings) describe() string {
	text := fmt.Sprintf("%d processes with %d workers each call a service, at most %d at a time; the queue is %v",
		s.procs, s.workers, s.max, s.place)
	if s.place.Redis != "" {
		text += ", with " + s.place.Leases()
	}
	return fmt.Sprintf("%s.\nProcess %d is killed in the middle of a call.\n", text, victim)
}

// run lets the workers call the service until all permits are in use again after
// the kill, and for some time more.
func run(ctx context.Context, s settings) (*observation, error) {
	service, err := startService(s)
	if err != nil {
		return nil, err
	}
	defer service.stop()
	orders := make([]order, s.procs)
	for i := range orders {
		orders[i] = order{Process: i + 1, Workers: s.workers, Max: s.max, Service: service.url, Place: s.place}
	}
	workers, err := crew.Start[message](orders)
	if err != nil {
		return nil, err
	}
	defer workers.Stop()
	service.victim(workers.Workers[victim-1].Kill)
	longest := runTimeout + 2*s.place.Lease + 2*time.Duration(s.calls)*s.took
	if err := watch(ctx, workers, service, longest); err != nil {
		return nil, err
	}
	if err := workers.Stop(); err != nil {
		return nil, err
	}
	o := service.seen()
	o.left, err = s.place.Leftovers(ctx)
	return o, err
}

// watch returns when the service has seen enough, or when that takes too long, or
// at the first worker that ends when it should not.
func watch(ctx context.Context, workers *crew.Crew[message], service *service, longest time.Duration) error {
	tooLong := time.After(longest)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-service.enough:
			return nil
		case <-tooLong: // check says so
			return nil
		case h := <-workers.Heard:
			switch {
			case h.Ended && h.From.Number == victim && service.hasKilled():
			case h.Err != nil:
				return h.Err
			default:
				return errors.New("a worker has ended too early")
			}
		}
	}
}
