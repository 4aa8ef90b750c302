package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/fifolock/fifolock/benchmarks/internal/picture"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

// write makes everything of the results: the raw file first, so that nothing
// that was measured can be lost by what comes after. Results that were loaded are not
// saved again: what was measured stays as it was.
func write(r *report.Results, dir string, loaded bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if !loaded {
		if err := r.Save(filepath.Join(dir, "raw.json")); err != nil {
			return err
		}
	}
	return errors.Join(
		writeFile(filepath.Join(dir, "benchstat.txt"), always(r.WriteBenchmarkFormat)),
		writeFile(filepath.Join(dir, "tables.md"), always(r.WriteTables)),
		writeFile(filepath.Join(dir, "timeline.svg"), func(w io.Writer) (bool, error) { return picture.Timelines(w, r.Timelines) }),
		writeFile(filepath.Join(dir, "waits.svg"), func(w io.Writer) (bool, error) {
			return picture.Waits(w, r.Waits, report.Goroutines16Held, 15*5000)
		}),
		writeFile(filepath.Join(dir, "hand-off.svg"), func(w io.Writer) (bool, error) { return picture.HandOffs(w, r) }),
	)
}

// always is for what there is always something of.
func always(write func(io.Writer) error) func(io.Writer) (bool, error) {
	return func(w io.Writer) (bool, error) { return true, write(w) }
}

// writeFile writes the file if there is something to write.
func writeFile(path string, content func(io.Writer) (bool, error)) error {
	var b bytes.Buffer
	if written, err := content(&b); err != nil || !written {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
