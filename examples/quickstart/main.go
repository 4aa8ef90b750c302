// Quickstart shows the lock at work, and checks it.
//
// It starts several processes that all add 1 to the number in one plain file:
// read, a short pause, write. Without a lock most of the additions would be
// lost. One of the processes is killed with SIGKILL while it holds the lock.
// At the end a table says who was served in which order, how long the
// hand-offs and the recovery took, that no addition was lost, and that nothing
// was left behind. Whatever the table says is checked; if it is not so, the
// exit code is 1.
//
//	go run ./examples/quickstart                          # a queue in a directory, no server
//	go run ./examples/quickstart -redis localhost:6379    # a queue in Redis
//	go run ./examples/quickstart -procs 16 -rounds 50     # more processes
//	go run ./examples/quickstart -dir /dev/shm            # on another file system
//
// The files, in the order to read them: worker.go is the program that uses the
// lock, place.go opens its queue, run.go starts and kills the workers, check.go
// judges what they saw, report.go prints it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if isWorker() {
		os.Exit(workerMain())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := start(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// start does one run and reports on out. It returns an error if the run could
// not be finished, or if something that the report says is not as it should be.
func start(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	p, err := newPlace(s)
	if err != nil {
		return err
	}
	defer p.remove()

	fmt.Fprintln(out, s.describe(p))
	seen, err := run(ctx, s, p, newProgress(out, s))
	if err != nil {
		return err
	}
	checks := check(seen)
	report(out, seen, checks)
	return verdict(checks)
}

// settings are what the flags say.
type settings struct {
	procs, rounds int
	dir, redis    string
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.IntVar(&s.procs, "procs", 4, "how many `processes` to start, from 2 to 100")
	flags.IntVar(&s.rounds, "rounds", 120, "how many times each process takes the lock, at least 2")
	flags.StringVar(&s.dir, "dir", os.TempDir(), "make the directory for the run in this `directory`")
	flags.StringVar(&s.redis, "redis", "", "keep the queue in the Redis server at this `host:port`, or unix socket")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q: see -help", flags.Arg(0))
	}
	if s.procs > 100 {
		return s, errors.New("-procs must be from 2 to 100: a machine has no room for many more")
	}
	if s.procs < 2 || s.rounds < 2 {
		return s, errors.New("-procs and -rounds must be at least 2: somebody must be left when one is killed")
	}
	return s, nil
}

func (s settings) describe(p *place) string {
	return fmt.Sprintf("%d processes take the lock %d times each; the queue is %s.\n"+
		"Process %d is killed while it holds the lock in round %d.",
		s.procs, s.rounds, p.queueName(), s.victim(), s.lastRound())
}

// victim is the process that is killed. It is not the first in line, so that
// the line is in order before and after it.
func (s settings) victim() int { return 2 }

// lastRound is the round in which the victim is killed: early enough for
// everyone else to be still in line.
func (s settings) lastRound() int { return s.rounds / 2 }
