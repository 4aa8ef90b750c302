// Compare measures fifolock beside other locks, and writes tables and pictures.
//
//	go run ./cmd/compare [-quick] [-repetitions n] [-earlier revision] [-only regexp] [-out dir]
//	go run ./cmd/compare -from results/raw.json
//
// A run of everything, and one with -from, also puts its figures into the table
// of the README.
//
// It starts the servers it needs (redis-server, etcd, PostgreSQL) and ends
// them; what is not installed is left out, and named.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"github.com/fifolock/fifolock/benchmarks/internal/compare"
	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

func main() {
	load.BeWorker()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run() error {
	quick := flag.Bool("quick", false, "some minutes instead of an hour; the figures are rough")
	repetitions := flag.Int("repetitions", 5, "how often each case is run with each peer; 1 with -quick unless given")
	earlier := flag.String("earlier", "", "a revision of fifolock to measure beside this one, as in 'v1.0.0'")
	only := flag.String("only", "", "run only what matches this regular expression, as in 'goroutines-64/(fifolock|redislock)'")
	out := flag.String("out", "", "the directory to write to; results, or results-quick with -quick")
	from := flag.String("from", "", "make tables and pictures of this raw.json, and measure nothing")
	readme := flag.String("readme", "../README.md", "the file whose table of figures is written anew; none if empty")
	flag.Parse()

	results, interrupted := obtain(*from, *quick, *repetitions, *only, *earlier)
	if results == nil {
		return interrupted
	}
	if *out == "" {
		*out = map[bool]string{false: "results", true: "results-quick"}[results.Facts.Quick]
	}
	if err := write(results, *out, *from != ""); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "written to %s\n", *out)
	everything := interrupted == nil && *only == "" && !results.Facts.Quick
	if *readme != "" && (everything || *from != "") {
		return errors.Join(interrupted, results.UpdateReadme(*readme))
	}
	return interrupted
}

// obtain measures, or reads what was measured. With an error it may return what
// was measured until then.
func obtain(from string, quick bool, repetitions int, only, earlier string) (*report.Results, error) {
	if from != "" {
		return report.Load(from)
	}
	if quick && !given("repetitions") {
		repetitions = 1
	}
	if repetitions < 1 {
		return nil, errors.New("-repetitions must be 1 or more")
	}
	options := compare.Options{Quick: quick, Repetitions: repetitions, Earlier: earlier, Progress: progress}
	if only != "" {
		pattern, err := regexp.Compile(only)
		if err != nil {
			return nil, fmt.Errorf("-only: %w", err)
		}
		options.Only = pattern
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return compare.Run(ctx, options)
}

func given(name string) (was bool) {
	flag.Visit(func(f *flag.Flag) { was = was || f.Name == name })
	return was
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format, args...) }
