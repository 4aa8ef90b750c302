// Timeline draws what a fair lock does: several processes take it again and
// again, write down when they came, when they got it and when they gave it back,
// and an SVG shows who waited and who held it.
//
//	go run ./examples/timeline                         # writes timeline.svg
//	go run ./examples/timeline -unfair                 # beside a lock that polls, for comparison
//	go run ./examples/timeline -redis localhost:6379   # a queue in Redis
//	go run ./examples/timeline -procs 8 -rounds 6 -out picture.svg
//
// The other lock is a plain flock on a file that everyone tries again every
// 10 ms, as most locks do: luck decides who is next.
//
// The picture is readable in light and in dark; a browser tells more about a bar
// that is pointed at. The exit code is 1 if two were seen to hold the fair lock
// at a time, or one to overtake another. When it is interrupted, places in line
// are left in Redis, under a name that nobody else uses; they lapse within a
// minute.
//
// The files: main.go is the parent, worker.go the program that uses the lock,
// picture.go draws.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if isWorker() {
		if err := work(); err != nil {
			fmt.Fprintln(os.Stderr, "timeline: worker:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := timeline(ctx, os.Args[1:], os.Stdout)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "timeline:", err)
		os.Exit(1)
	}
}

// settings are what the arguments say.
type settings struct {
	procs, rounds int
	hold          time.Duration
	unfair        bool
	redis, out    string
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("timeline", flag.ContinueOnError)
	flags.IntVar(&s.procs, "procs", 5, "how many `processes` to start")
	flags.IntVar(&s.rounds, "rounds", 5, "how many times each of them takes the lock")
	flags.DurationVar(&s.hold, "hold", 40*time.Millisecond, "how long it is held at most")
	flags.BoolVar(&s.unfair, "unfair", false, "do the same with a lock that polls")
	flags.StringVar(&s.redis, "redis", "", "keep the queue in the Redis server at this `host:port`")
	flags.StringVar(&s.out, "out", "timeline.svg", "write the picture to this `file`")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.procs < 1 || s.procs > 100 || s.rounds < 1 || s.rounds > 1000:
		return s, errors.New("-procs must be from 1 to 100, and -rounds from 1 to 1000")
	case s.hold <= 0:
		return s, errors.New("-hold must be above 0")
	}
	return s, nil
}

func timeline(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	fair, err := record(ctx, s, fairLock)
	if err != nil {
		return err
	}
	runs := []run{fair}
	if s.unfair {
		other, err := record(ctx, s, pollingLock)
		if err != nil {
			return err
		}
		runs = append(runs, other)
	}
	for _, r := range runs {
		fmt.Fprintf(out, "%s: %s\n", r.title, r.summary())
	}
	if err := os.WriteFile(s.out, draw(runs), 0o666); err != nil {
		return err
	}
	fmt.Fprintf(out, "The picture is in %s.\n", s.out)
	if fair.overlaps() > 0 || len(fair.overtaken()) > 0 {
		return errors.New("the fair lock was not: this must not be")
	}
	return nil
}

// run is what was seen of one lock.
type run struct {
	title string
	procs int
	began time.Time
	turns []turn // in the order in which they were served
}

// turn is one time that a process waited for the lock and held it.
type turn struct {
	Process  int
	Round    int
	Called   time.Time // Lock was called
	InLine   time.Time // it had taken its place, or had tried once in vain
	Acquired time.Time
	Released time.Time
}

func (t turn) waited() time.Duration { return t.Acquired.Sub(t.Called) }

// overlaps is how often the lock was given to one before another had begun to
// release it.
func (r run) overlaps() (n int) {
	for i := range r.turns[1:] {
		if r.turns[i+1].Acquired.Before(r.turns[i].Released) {
			n++
		}
	}
	return n
}

// overtaken are the turns that came later than they should: somebody was served
// before them who had called Lock when they were in line already.
func (r run) overtaken() map[turn]bool {
	late := map[turn]bool{}
	for i, t := range r.turns {
		for _, before := range r.turns[:i] {
			if before.Called.After(t.InLine) {
				late[t] = true
			}
		}
	}
	return late
}

func (r run) summary() string {
	longest := slices.MaxFunc(r.turns, func(a, b turn) int { return cmp.Compare(a.waited(), b.waited()) })
	return fmt.Sprintf("held %d times, %d overtaken; longest wait %d ms",
		len(r.turns), len(r.overtaken()), longest.waited().Milliseconds())
}

// record lets the processes use a lock, and collects what they have seen.
func record(ctx context.Context, s settings, kind string) (run, error) {
	temporary, err := os.MkdirTemp("", "fifolock-timeline-")
	if err != nil {
		return run{}, err
	}
	defer os.RemoveAll(temporary)
	o := order{Rounds: s.rounds, Hold: s.hold, Kind: kind, Path: filepath.Join(temporary, "lock"), Redis: s.redis}

	var workers []*worker
	defer func() {
		for _, w := range workers {
			w.end()
		}
	}()
	for i := range s.procs {
		o.Process = i + 1
		w, err := start(ctx, o)
		if err != nil {
			return run{}, err
		}
		workers = append(workers, w)
	}
	// Nobody begins before everybody can.
	for _, w := range workers {
		if err := w.waitUntilReady(); err != nil {
			return run{}, err
		}
	}
	r := run{title: titles[kind], procs: s.procs, began: time.Now()}
	for _, w := range workers {
		fmt.Fprintln(w.stdin)
	}
	for _, w := range workers {
		turns, err := w.turns(s.rounds)
		if err != nil {
			return run{}, err
		}
		r.turns = append(r.turns, turns...)
	}
	slices.SortFunc(r.turns, func(a, b turn) int { return a.Acquired.Compare(b.Acquired) })
	return r, nil
}

// worker is a process, seen from its parent.
type worker struct {
	number  int
	command *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
}

func start(ctx context.Context, o order) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	w := &worker{number: o.Process, command: exec.CommandContext(ctx, self)}
	w.command.Env = append(os.Environ(), workerVariable+"="+string(text))
	w.command.Stderr = os.Stderr
	stdout, err := w.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.stdout = bufio.NewReader(stdout)
	if w.stdin, err = w.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := w.command.Start(); err != nil {
		return nil, fmt.Errorf("starting process %d: %w", o.Process, err)
	}
	return w, nil
}

func (w *worker) waitUntilReady() error {
	if _, err := w.stdout.ReadString('\n'); err != nil {
		return fmt.Errorf("process %d did not begin: %w", w.number, err)
	}
	return nil
}

// turns reads what the worker has seen, which it tells in the end.
func (w *worker) turns(rounds int) (turns []turn, err error) {
	if err := json.NewDecoder(w.stdout).Decode(&turns); err != nil {
		return nil, fmt.Errorf("process %d did not finish: %w", w.number, err)
	}
	if len(turns) != rounds {
		return nil, errors.New("process " + strconv.Itoa(w.number) + " has not held the lock as often as it should")
	}
	return turns, nil
}

// end returns when the process has ended, which it does when its stdin does.
func (w *worker) end() {
	w.stdin.Close()
	w.command.Wait()
}
