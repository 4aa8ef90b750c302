package policy

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// families are the letters of the cases, and their numbers. Of the faults that were
// seen, the first are those of the Redis queue, then come those of the file queue,
// those that people met, and those that were seen later.
var families = []struct {
	letter      string
	first, last int
}{{"X", 1, 26}, {"F", 1, 40}, {"R", 1, 45}, {"A", 1, 20}, {"K", 1, 60}, {"K", 61, 71}}

var (
	row      = regexp.MustCompile(`(?m)^\| ([XFRAK]\d\d) \| (.+) \| (.+) \|$`)
	named    = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	ofCase   = regexp.MustCompile(`^Test([XFRAK]\d\d)`)
)

// TestFaults checks that docs/faults.md has every case once, with a test that
// exists or the reason why there is none; and that it has every test of a case.
func TestFaults(t *testing.T) {
	tests := declaredTests(t)
	rows := faultRows(t)
	for id, what := range rows {
		names := named.FindAllStringSubmatch(what, -1)
		if len(names) == 0 && !strings.HasPrefix(what, "not ") && !strings.HasPrefix(what, "does not apply") {
			t.Errorf("%s has neither a test nor a reason", id)
		}
		for _, name := range names {
			if !tests[name[1]] {
				t.Errorf("%s has %s, which does not exist", id, name[1])
			}
		}
	}
	for _, family := range families {
		for i := family.first; i <= family.last; i++ {
			if id := fmt.Sprintf("%s%02d", family.letter, i); rows[id] == "" {
				t.Errorf("%s has no row", id)
			}
		}
	}
	for name := range tests {
		if id := ofCase.FindStringSubmatch(name); id != nil && !strings.Contains(rows[id[1]], "`"+name+"`") {
			t.Errorf("%s is not in the row of %s", name, id[1])
		}
	}
}

// faultRows returns what the table says of each case.
func faultRows(t *testing.T) map[string]string {
	t.Helper()
	rows := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/faults.md"), -1) {
		if rows[m[1]] != "" {
			t.Errorf("%s has two rows", m[1])
		}
		rows[m[1]] = m[3]
	}
	return rows
}

// declaredTests finds the names of all tests of the module.
func declaredTests(t *testing.T) map[string]bool {
	t.Helper()
	tests := make(map[string]bool)
	for _, file := range goFiles(t, true, "lock", "queue", "internal", "examples") {
		for _, m := range declared.FindAllStringSubmatch(read(t, file), -1) {
			tests[m[1]] = true
		}
	}
	return tests
}
