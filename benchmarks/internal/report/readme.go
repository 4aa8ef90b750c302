package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// The figures of the README are between these two lines.
const (
	figuresBegin = "<!-- figures:begin -->\n"
	figuresEnd   = "<!-- figures:end -->\n"
)

// shownFigure is a column of the README's table: of fifolock it shows the
// figure, of the others how many times that it is.
type shownFigure struct {
	heading  string
	caseName string
	figure   string
	write    func(float64) string
	plain    bool // the figure of the others, too
}

var shownFigures = []shownFigure{
	{"grants that overtook", Goroutines16Held, "overtaking_percent", percent, true},
	{"longest wait", Goroutines16Held, "wait_max_us", duration, true},
	{"hand-off to a waiter p50", Goroutines16Held, "hand_off_to_waiter_p50_us", duration, false},
	{"64 of one process: acquisitions/s", Goroutines64, "acquisitions_per_s", number, false},
	{"4 processes of 16: acquisitions/s", Processes16, "acquisitions_per_s", number, false},
	{"alone: Lock and Unlock p50", InTurn, "cycle_p50_us", duration, false},
	{"round trips per acquisition", Goroutines16Held, "operations_per_acquisition", number, true},
	{"holder killed: the next has it after", RecoveryDefault, "recovery_p50_us", duration, true},
}

// percent writes a percentage.
func percent(v float64) string {
	if s := threeDigits(v); s != "–" {
		return s + " %"
	}
	return "–"
}

// WriteFigures writes the table of the README.
func (r *Results) WriteFigures(w io.Writer) error {
	var b strings.Builder
	f := r.Facts
	fmt.Fprintf(&b, "Measured on %s with fifolock %s, %s, on %s of %s; medians of %s, in which the locks took turns. ",
		f.Date, f.Revision, f.Go, f.cores(), f.CPU, f.repetitions())
	if f.Quick {
		b.WriteString("**A quick run: the figures are rough.** ")
	}
	b.WriteString("A figure with × is the multiple of that of fifolock on Redis, or of fifolock in files, above it; the others are what was measured, and – is what was not. ")
	warmUp, measure := HeldRun(f.Quick)
	fmt.Fprintf(&b, "Measured were, of one process, 16 goroutines that hold the lock for 5 ms each (the columns that say nothing else), 64 that do nothing with it, and one that is alone; 64 in four processes; and a holder that is killed, with the default lease of each lock. The longest wait is that of all repetitions, each a run of %.1f s whose last waits are counted to their end. Less is better, except for acquisitions.\n\n", (warmUp + measure).Seconds())
	headings := []string{""}
	for _, c := range shownFigures {
		headings = append(headings, c.heading)
	}
	var rows [][]string
	for _, p := range peer.All() {
		if !p.Limit && p.Earlier == "" && r.Has(Goroutines16Held, p.Name) {
			rows = append(rows, r.figureRow(p))
		}
	}
	writeTable(&b, headings, rows)
	_, err := io.WriteString(w, strings.TrimSuffix(b.String(), "\n"))
	return err
}

func (r *Results) figureRow(p peer.Peer) []string {
	base := ours(p)
	row := []string{label(p)}
	for _, c := range shownFigures {
		if c.plain || p.Name == base {
			row = append(row, c.write(r.Value(c.caseName, p.Name, c.figure)))
		} else {
			row = append(row, times(r.Ratio(c.caseName, c.figure, p.Name, base)))
		}
	}
	return row
}

// UpdateReadme puts the table between the marks of the file.
func (r *Results) UpdateReadme(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(content), figuresBegin)
	_, after, ok2 := strings.Cut(rest, figuresEnd)
	if !ok1 || !ok2 {
		return errors.New(file + " has no place for the figures: the lines " + figuresBegin + "and " + figuresEnd + "mark it")
	}
	var table strings.Builder
	if err := r.WriteFigures(&table); err != nil {
		return err
	}
	text := before + figuresBegin + "\n" + table.String() + "\n" + figuresEnd + after
	return os.WriteFile(file, []byte(text), 0o644)
}
