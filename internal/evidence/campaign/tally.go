package campaign

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tally is what was seen.
type tally struct {
	passed   map[string]bool // tests and subtests
	parents  map[string]bool // those of them, and others, that have subtests
	failed   map[string]bool // tests, without their subtests
	counts   map[string]int  // of what the detectors count
	verdicts int
	said     map[string]string // by a test that is not over, with its subtests; for when it fails
}

// verdict is how the harness ends its line about a test: "12 grants, 3 lost, …
// 0 problems".
var verdict = regexp.MustCompile(`\d+ grants, (?:\d+ [a-z ]+, )+\d+ problems`)

var counted = regexp.MustCompile(`(\d+) ([a-z ]+)`)

// failover is what a test says of each primary that it has seen replaced.
var failover = regexp.MustCompile(`\bfailover: `)

// add counts an event, and returns what is worth showing of it.
func (t *tally) add(e event) (show string) {
	if t.counts == nil {
		t.passed, t.parents, t.failed = make(map[string]bool), make(map[string]bool), make(map[string]bool)
		t.counts, t.said = make(map[string]int), make(map[string]string)
	}
	for i, c := range e.Test { // a subtest's own name may have a slash
		if c == '/' {
			t.parents[e.Test[:i]] = true
		}
	}
	switch e.Action {
	case "pass":
		t.passed[e.Test] = true
		delete(t.said, e.Test)
	case "fail":
		t.failed[top(e.Test)] = true
		show = t.said[e.Test]
		delete(t.said, e.Test)
	case "skip":
		delete(t.said, e.Test)
	case "output":
		t.said[e.Test] += e.Output
		if failover.MatchString(e.Output) {
			t.counts["failovers"]++
			return e.Output
		}
		line := verdict.FindString(e.Output)
		for _, m := range counted.FindAllStringSubmatch(line, -1) {
			n, _ := strconv.Atoi(m[1])
			t.counts[m[2]] += n
		}
		if line != "" {
			t.verdicts++
		}
		if line != "" {
			return e.Output
		}
	}
	return show
}

// top returns the name of the test that a subtest is part of.
func top(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return name
}

// fault is a row of docs/faults.md.
type fault struct {
	id    string
	tests []string // none: it is not run, and the row says why
}

var (
	row   = regexp.MustCompile(`(?m)^\| ([XFRAK]\d\d) \| .+ \| (.+) \|$`)
	named = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
)

func readCases(path string) ([]fault, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var cases []fault
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		f := fault{id: m[1]}
		for _, n := range named.FindAllStringSubmatch(m[2], -1) {
			f.tests = append(f.tests, n[1])
		}
		cases = append(cases, f)
	}
	return cases, nil
}

// ran tells the cases of which a test has passed and none has failed from the
// others. A test with subtests has passed if one of them has: it does so itself where
// all of them were skipped.
func (t *tally) ran(cases []fault) (ran int, not []string) {
	passed := make(map[string]bool)
	for name := range t.passed {
		if !t.parents[name] {
			passed[top(name)] = true
		}
	}
	for _, c := range cases {
		hasPassed := slices.ContainsFunc(c.tests, func(name string) bool { return passed[name] })
		if hasPassed && !slices.ContainsFunc(c.tests, func(name string) bool { return t.failed[name] }) {
			ran++
		} else {
			not = append(not, c.id)
		}
	}
	return ran, not
}

func (t *tally) report(cases []fault, began time.Time, took time.Duration) string {
	ran, not := t.ran(cases)
	var b strings.Builder
	fmt.Fprintf(&b, "Made by `go run ./internal/evidence campaign` on %s: %v on %d processors, %s, %s.\n\n",
		began.UTC().Format("2006-01-02"), took.Round(time.Second), runtime.NumCPU(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	fmt.Fprintf(&b, "| what | how many |\n| --- | --- |\n")
	line := func(what string, n any) { fmt.Fprintf(&b, "| %s | %v |\n", what, n) }
	line("cases of the catalogue that ran", fmt.Sprintf("%d of %d (the table says why not: %s)", ran, len(cases), strings.Join(not, ", ")))
	line("runs with worker processes, each judged by all four detectors", t.verdicts)
	line("sections entered", t.counts["grants"])
	line("workers killed with SIGKILL", t.counts["workers killed"])
	line("failovers to another primary", t.counts["failovers"])
	line("holds that were lost, and said so", t.counts["lost"])
	line("waiters that lost their place and took another", t.counts["waiters evicted"])
	line("calls that returned the backend's error", t.counts["calls failed"])
	line("late writes that the fencing resource refused", t.counts["stale writes refused"])
	line("journals of which it took too long to decide whether they are linearizable", t.counts["undecided"])
	line("**violations of a promise**", fmt.Sprintf("**%d**", t.counts["problems"]))
	failed := slices.Sorted(maps.Keys(t.failed))
	if failed = slices.DeleteFunc(failed, func(name string) bool { return name == "" }); len(failed) > 0 {
		line("tests that failed", strings.Join(failed, ", "))
	}
	return b.String()
}

const (
	beginMark = "<!-- figures:begin -->\n"
	endMark   = "<!-- figures:end -->\n"
)

// writeBetween replaces what is between the marks in a document.
func writeBetween(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(old), beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no marks %q and %q", path, beginMark, endMark)
	}
	return os.WriteFile(path, []byte(before+beginMark+text+endMark+after), 0o644)
}
