// Quickstart shows the lock at work, and checks it.
//
// It starts several processes that all add 1 to the number in one plain file:
// read, a short pause, write. First they do so without a lock for a moment, to
// see what is lost. Then they do it with the lock, and one of them is killed with
// SIGKILL while it holds it. At the end a table says which process was served
// in which order, how long the hand-offs and the recovery took, that no addition
// was lost, and that nothing was left behind.
//
//	go run ./examples/quickstart                          # a queue in a directory, no server
//	go run ./examples/quickstart -redis localhost:6379    # a queue in Redis
//	go run ./examples/quickstart -redis localhost:6379 -crash 1s
//	go run ./examples/quickstart -nolock                  # no lock at all: what is lost, and how
//	go run ./examples/quickstart -procs 16 -rounds 50     # more processes
//	go run ./examples/quickstart -file ~/quickstart       # on another file system than that of /tmp
//
// Exit codes:
//
//	0  all is as the table says it should be; with -nolock: additions were lost
//	1  it is not, or it could not be finished, or was interrupted
//	2  the arguments make no sense
//
// The files, in the order to read them: worker.go is the program that uses the
// lock, run.go starts and kills the workers, check.go judges what they saw,
// report.go prints it, nolock.go is the run without a lock.
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

// roundsBefore is how many rounds are done without a lock at most before those
// with it.
const roundsBefore = 20

func main() {
	if crew.IsWorker() {
		crew.Work(work)
	}
	cli.Main("quickstart", quickstart)
}

// quickstart returns an error if the run could not be finished, or if something
// that the report says is not as it should be.
func quickstart(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	directory, remove, err := s.place.Own("quickstart")
	if err != nil {
		return err
	}
	defer remove()
	s.directory = directory
	if s.noLock {
		return showWithoutLock(ctx, s, out)
	}

	fmt.Fprintln(out, s.describe())
	seen, err := run(ctx, s, newProgress(out, s))
	if err != nil {
		return err
	}
	checks := check(seen)
	report(out, seen, checks)
	return verdict.Error(checks)
}

// settings are what the flags say.
type settings struct {
	procs, rounds int
	noLock        bool
	place         cli.Place
	directory     string // made for this run
}

func parse(args []string) (settings, error) {
	var s settings
	flags := cli.NewFlags("quickstart", "[flags]")
	flags.Int(&s.procs, "procs", 4, 2, 100, "how many `processes` to start")
	flags.Int(&s.rounds, "rounds", 120, 2, 100_000, "how many `times` each process takes the lock")
	flags.BoolVar(&s.noLock, "nolock", false, "take no lock, and show what is lost")
	flags.Place(&s.place, false)
	flags.Lease(&s.place, lease)
	flags.Crash(&s.place)
	flags.Check(func() error {
		if s.noLock && (s.place.File != "" || s.place.Redis != "") {
			return errors.New("-nolock has no queue: leave out -file and -redis")
		}
		return nil
	})
	return s, flags.Parse(args)
}

func (s settings) describe() string {
	text := fmt.Sprintf("%d processes take the lock %d times each; the queue is %v", s.procs, s.rounds, s.place)
	if s.place.Redis != "" {
		text += ", with " + s.place.Leases()
	}
	return fmt.Sprintf("%s.\nProcess %d is killed while it holds the lock in round %d.", text, s.victim(), s.lastRound())
}

// victim is the process that is killed. It is not the first in line, so that
// the line is in order before and after it.
func (s settings) victim() int { return 2 }

// lastRound is the round in which the victim is killed: early enough for
// all others to be still in line.
func (s settings) lastRound() int { return s.rounds / 2 }
