// Package verdict is how an example says what it has checked.
package verdict

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Check is one line of the verdict.
type Check struct {
	What  string // what was looked at
	Seen  string // what was seen, if it is as it should be
	Wrong string // what is wrong; empty if it is as it should be
	Note  bool   // it is only told: nothing is promised of it
}

// Print prints the checks, one a line.
func Print(out io.Writer, checks []Check) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range checks {
		switch {
		case c.Wrong != "":
			fmt.Fprintf(table, "%s\tWRONG\t%s\n", c.What, c.Wrong)
		case c.Note:
			fmt.Fprintf(table, "%s\t\t%s\n", c.What, c.Seen)
		default:
			fmt.Fprintf(table, "%s\tok\t%s\n", c.What, c.Seen)
		}
	}
	return table.Flush()
}

// Error is an error that names all that is wrong, or nil.
func Error(checks []Check) error {
	var wrong []string
	for _, c := range checks {
		if c.Wrong != "" {
			wrong = append(wrong, c.What+": "+c.Wrong)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New("the lock did not keep its promise: " + strings.Join(wrong, "; "))
}

// LeftBehind is the check that what a lock has stored is gone.
func LeftBehind(left []string) Check {
	return Check{What: "left behind", Seen: "nothing: no file or key of the queue", Wrong: strings.Join(left, ", ")}
}
