package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteBenchmarkFormat writes the records in the format of go test -bench, for
// benchstat: one line for each repetition.
func (r *Results) WriteBenchmarkFormat(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "date: %s\nrevision: %s\ngo: %s\ncpu: %s\n", r.Facts.Date, r.Facts.Revision, r.Facts.Go, r.Facts.CPU); err != nil {
		return err
	}
	for _, record := range r.Records {
		if record.Figures == nil {
			continue
		}
		line := fmt.Sprintf("BenchmarkCompare/case=%s/peer=%s 1", record.Case, record.Peer)
		for _, figure := range slices.Sorted(maps.Keys(record.Figures)) {
			line += fmt.Sprintf("\t%.6g %s", record.Figures[figure], strings.ReplaceAll(figure, "_", "-"))
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
