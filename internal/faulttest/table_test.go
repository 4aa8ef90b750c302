package faulttest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// families are the letters of the cases, and how many there are of each.
var families = []struct {
	letter string
	cases  int
}{{"X", 26}, {"F", 40}, {"R", 45}, {"A", 20}}

var (
	row      = regexp.MustCompile(`(?m)^\| ([XFRA]\d\d) \| (.+) \| (.+) \|$`)
	named    = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	ofCase   = regexp.MustCompile(`^Test([XFRA]\d\d)`)
)

// TestTable checks that docs/faults.md has every case once, with a test that
// exists or the reason why there is none; and that it has every test of a case.
func TestTable(t *testing.T) {
	table, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, ours := declaredTests(t)
	rows := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(string(table), -1) {
		id, what := m[1], m[3]
		if rows[id] != "" {
			t.Errorf("%s has two rows", id)
		}
		rows[id] = what
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
		for i := range family.cases {
			if id := fmt.Sprintf("%s%02d", family.letter, i+1); rows[id] == "" {
				t.Errorf("%s has no row", id)
			}
		}
	}
	for name := range ours {
		if id := ofCase.FindStringSubmatch(name); id != nil && !strings.Contains(rows[id[1]], "`"+name+"`") {
			t.Errorf("%s is not in the row of %s", name, id[1])
		}
	}
}

// declaredTests finds the names of all tests of the module, and of those in the
// packages below.
func declaredTests(t *testing.T) (all, ours map[string]bool) {
	t.Helper()
	all, ours = make(map[string]bool), make(map[string]bool)
	for _, dir := range []string{"../../queue", "../../lock", "../model", "../harness", "*"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range declared.FindAllSubmatch(text, -1) {
				all[string(m[1])] = true
				if dir == "*" {
					ours[string(m[1])] = true
				}
			}
		}
	}
	return all, ours
}
