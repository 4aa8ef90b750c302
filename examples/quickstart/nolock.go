package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/fifolock/fifolock/examples/internal/crew"
)

// loss is what was seen of a run without a lock.
type loss struct {
	sections []section // in the order in which they read the number
	number   int       // what the file says at the end
}

func (l loss) lost() int { return len(l.sections) - l.number }

func (l loss) String() string {
	return fmt.Sprintf("%d of %d additions were lost", l.lost(), len(l.sections))
}

// runWithoutLock has the workers add to the number as they do with a lock, but
// that they take none, and that none is killed.
func runWithoutLock(ctx context.Context, s settings, rounds int) (loss, error) {
	number := filepath.Join(s.directory, "number-without-lock")
	if err := writeNumber(number, 0); err != nil {
		return loss{}, err
	}
	orders := make([]order, s.procs)
	for i := range orders {
		orders[i] = order{Process: i + 1, Rounds: rounds, NumberFile: number, NoLock: true}
	}
	workers, err := crew.Start[message](orders)
	if err != nil {
		return loss{}, err
	}
	defer workers.Stop()
	var l loss
	ready := 0
	err = watch(ctx, workers, func(h crew.Heard[message]) error {
		switch m := h.Message; {
		case h.Ended:
			return h.Err
		case m.Ready:
			if ready++; ready == s.procs {
				workers.Go()
			}
		case m.Done != nil:
			l.sections = append(l.sections, *m.Done)
		}
		return nil
	})
	if err != nil {
		return loss{}, err
	}
	slices.SortFunc(l.sections, func(a, b section) int { return cmp.Compare(a.Acquired, b.Acquired) })
	l.number, err = readNumber(number)
	return l, err
}

// showWithoutLock is the run of -nolock.
func showWithoutLock(ctx context.Context, s settings, out io.Writer) error {
	fmt.Fprintf(out, "%d processes add 1 to the number in a file %d times each, without a lock.\n\n", s.procs, s.rounds)
	l, err := runWithoutLock(ctx, s, s.rounds)
	if err != nil {
		return err
	}
	if err := l.print(out); err != nil {
		return err
	}
	if l.lost() <= 0 {
		return errors.New("nothing was lost this time, which is luck: try more -rounds")
	}
	return nil
}

// print shows the first sections, which of them have read the same number, and
// what that comes to.
func (l loss) print(out io.Writer) error {
	const beginning = 12
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "process\tround\treads\twrites\t")
	readBy := map[int]int{} // the process that was the first to read a number
	for i, s := range l.sections {
		remark := ""
		if first, ok := readBy[s.Number]; ok {
			remark = fmt.Sprintf("as process %d: one addition is lost", first)
		} else {
			readBy[s.Number] = s.Process
		}
		if i < beginning {
			fmt.Fprintf(table, "%d\t%d\t%d\t%d\t%s\n", s.Process, s.Round, s.Number, s.Number+1, remark)
		}
	}
	if len(l.sections) > beginning {
		fmt.Fprintln(table, "...\t\t\t\t")
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nThe number is %d after %d additions: %v.\n", l.number, len(l.sections), l)
	return err
}
