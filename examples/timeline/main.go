// Timeline draws what a fair lock does: several processes take it again and
// again, write down when they came, when they got it and when they gave it back,
// and an SVG shows which of them waited and which held it.
//
//	go run ./examples/timeline                         # writes timeline.svg
//	go run ./examples/timeline -unfair                 # beside a lock that polls, for comparison
//	go run ./examples/timeline -redis localhost:6379   # a queue in Redis
//	go run ./examples/timeline -procs 8 -rounds 6 -out picture.svg
//
// The other lock is a plain flock on a file that every process tries again every
// 10 ms, as most locks do: luck decides which is next.
//
// The picture is readable in light and in dark; a browser tells more about a bar
// that is pointed at.
//
// Exit codes:
//
//	0  the picture is written, and shows a fair lock
//	1  two held the fair lock at a time, or one overtook another; or the picture
//	   cannot be written, or it was interrupted
//	2  the arguments make no sense
//
// The files: main.go is the parent, worker.go the program that uses the lock,
// picture.go draws.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/crew"
)

func main() {
	if crew.IsWorker() {
		crew.Work(work)
	}
	cli.Main("timeline", timeline)
}

// settings are what the arguments say.
type settings struct {
	procs, rounds int
	hold          time.Duration
	unfair        bool
	out           string
	place         cli.Place
}

func parse(args []string) (settings, error) {
	var s settings
	flags := cli.NewFlags("timeline", "[flags]")
	flags.Int(&s.procs, "procs", 5, 1, 100, "how many `processes` to start")
	flags.Int(&s.rounds, "rounds", 5, 1, 1000, "how many `times` each of them takes the lock")
	flags.Duration(&s.hold, "hold", 40*time.Millisecond, "the `time` that it is held at most")
	flags.BoolVar(&s.unfair, "unfair", false, "do the same with a lock that polls")
	flags.StringVar(&s.out, "out", "timeline.svg", "write the picture to this `file`")
	flags.Place(&s.place, false)
	flags.Lease(&s.place, 30*time.Second)
	flags.Crash(&s.place)
	return s, flags.Parse(args)
}

func timeline(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	picture, err := create(s.out)
	if err != nil {
		return err
	}
	defer picture.discard()
	runs, err := s.record(ctx)
	if err != nil {
		return err
	}
	for _, r := range runs {
		fmt.Fprintf(out, "%s: %s\n", r.title, r.summary())
	}
	if err := picture.write(draw(runs)); err != nil {
		return err
	}
	fmt.Fprintf(out, "The picture is in %s.\n", s.out)
	if fair := runs[0]; fair.overlaps() > 0 || len(fair.overtaken()) > 0 {
		return errors.New("the fair lock was not: this must not be")
	}
	return nil
}

// output is the file of the picture. It is opened before anything begins, so that
// one that cannot be written is known at once; what is in it stays until then.
type output struct {
	file  *os.File
	isNew bool // it was not there before, and goes again if it is not written
}

func create(name string) (*output, error) {
	_, err := os.Lstat(name)
	isNew := errors.Is(err, fs.ErrNotExist)
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	return &output{file, isNew}, nil
}

// write writes the picture in place of what was there.
func (o *output) write(picture []byte) error {
	o.isNew = false
	if info, err := o.file.Stat(); err == nil && info.Mode().IsRegular() {
		if err := o.file.Truncate(0); err != nil {
			return err
		}
	}
	_, err := o.file.Write(picture)
	return err
}

func (o *output) discard() {
	o.file.Close()
	if o.isNew {
		os.Remove(o.file.Name())
	}
}

// record lets the processes use the fair lock, and the other one if that is asked
// for.
func (s settings) record(ctx context.Context) ([]run, error) {
	directory, remove, err := s.place.Own("timeline")
	if err != nil {
		return nil, err
	}
	defer remove()
	if err := s.place.Reach(ctx); err != nil {
		return nil, err
	}
	o := order{Rounds: s.rounds, Hold: s.hold, Place: s.place}
	fair, err := record(ctx, s.procs, o)
	if err != nil || !s.unfair {
		return []run{fair}, err
	}
	o.Polled = filepath.Join(directory, "lock")
	other, err := record(ctx, s.procs, o)
	return []run{fair, other}, err
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

// overlaps is how often the lock was given to one process before another had begun
// to release it.
func (r run) overlaps() (n int) {
	for i := range r.turns[1:] {
		if r.turns[i+1].Acquired.Before(r.turns[i].Released) {
			n++
		}
	}
	return n
}

// overtaken are the turns that came later than they should: another was served
// before them that had called Lock when they were in line already.
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

// record lets the processes use a lock, and collects what they have seen. None
// begins before all can.
func record(ctx context.Context, procs int, o order) (run, error) {
	orders := make([]order, procs)
	for i := range orders {
		o.Process = i + 1
		orders[i] = o
	}
	workers, err := crew.Start[message](orders)
	if err != nil {
		return run{}, err
	}
	defer workers.Stop()
	r := run{title: o.title(), procs: procs}
	ready := 0
	for {
		select {
		case <-ctx.Done():
			return run{}, ctx.Err()
		case h, ok := <-workers.Heard:
			switch {
			case !ok:
				slices.SortFunc(r.turns, func(a, b turn) int { return a.Acquired.Compare(b.Acquired) })
				return r, nil
			case h.Err != nil:
				return run{}, h.Err
			case h.Ended:
			case h.Message.Turns != nil:
				r.turns = append(r.turns, h.Message.Turns...)
			default:
				if ready++; ready == procs {
					r.began = time.Now()
					workers.Go()
				}
			}
		}
	}
}
