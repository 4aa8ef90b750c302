package mutants

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// catch is the tests that have caught a mutant.
type catch struct {
	tests []string // or one line that says what has, if no test is named
	in    string   // their package; empty if it is not known
}

func (c catch) String() string { return strings.Join(c.tests, ", ") + " in " + c.in }

// args are the arguments of go test with which only these tests are run.
func (c catch) args() string { return "-run ^(" + strings.Join(c.tests, "|") + ")$ " + c.in }

var (
	// A test that failed, or that was running when the time was over.
	failure = regexp.MustCompile(`(?m)^(?:--- FAIL: |\t\t?)(Test\w+|Fuzz\w+)(?: \(.*\))?$`)

	failedPackage = regexp.MustCompile(`(?m)^FAIL\t(\S+)`)

	caught = regexp.MustCompile(`(?m)^caught   (.+?)(?: +\d[\dhms]*)? by ((?:(?:Test|Fuzz)\w+(?:, )?)+) in (\S+)$`)
)

// newCatch finds the tests that failed in what go test printed.
func newCatch(out string) *catch {
	var c catch
	for _, m := range failure.FindAllStringSubmatch(out, -1) {
		c.tests = append(c.tests, m[1])
	}
	if m := failedPackage.FindStringSubmatch(out); m != nil {
		c.in = m[1]
	}
	if len(c.tests) == 0 {
		switch {
		case strings.Contains(out, "DATA RACE"):
			c.tests = []string{"the race detector"}
		case strings.Contains(out, "test timed out"):
			c.tests = []string{"the time limit"}
		default:
			c.tests = []string{"the run as a whole"}
		}
	}
	return &c
}

// readCatches reads the output of an earlier run.
func readCatches(path string) (map[string]catch, error) {
	out, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	catches := make(map[string]catch)
	for _, m := range caught.FindAllStringSubmatch(string(out), -1) {
		catches[m[1]] = catch{strings.Split(m[2], ", "), m[3]}
	}
	if len(catches) == 0 {
		return nil, fmt.Errorf("%s says of no mutant that it was caught", path)
	}
	return catches, nil
}

// allEarlier are the arguments of go test with which all tests of the package that have
// caught something are run.
func (r *runner) allEarlier(in string) string {
	all := catch{in: in}
	for _, c := range r.earlier {
		if c.in == in {
			all.tests = append(all.tests, c.tests...)
		}
	}
	slices.Sort(all.tests)
	all.tests = slices.Compact(all.tests)
	return all.args()
}
