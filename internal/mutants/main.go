// Mutants runs the tests on deliberately broken versions of fifolock, and says
// which test caught which. A mutant that survives is a hole in the tests.
//
//	go run ./internal/mutants            # all of them
//	go run ./internal/mutants -run seq   # those whose name contains seq
//
// A mutant is one edit of one file (see mutants.go). The tree is not touched:
// the edited file is laid over it with go test's -overlay. The tests are first
// run on the tree as it is: they must pass there, and a mutant with which they
// take three times as long hangs, and is caught. It exits 1 when a mutant
// survives, or when an edit does not apply any more.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	only := flag.String("run", "", "run only the mutants whose name contains this")
	root := flag.String("root", ".", "the directory of the module")
	flag.Parse()
	survivors, run := 0, 0
	limits := make(map[string]time.Duration) // by the tests
	for _, m := range mutants {
		if !strings.Contains(m.name, *only) {
			continue
		}
		run++
		tests := strings.Join(m.tests, " ")
		if limits[tests] == 0 {
			took, err := baseline(*root, m.tests)
			if err != nil {
				fmt.Printf("go test %s: %v\n", tests, err)
				os.Exit(1)
			}
			limits[tests] = max(3*took, leastLimit)
			fmt.Printf("pass     %-45s %v\n", "without a mutant: "+tests, took.Round(time.Second))
		}
		began := time.Now()
		caught, err := m.test(*root, limits[tests])
		switch took := time.Since(began).Round(time.Second); {
		case err != nil:
			survivors++
			fmt.Printf("ERROR    %-45s %v\n", m.name, err)
		case len(caught) == 0:
			survivors++
			fmt.Printf("SURVIVED %-45s %v\n", m.name, took)
		default:
			fmt.Printf("caught   %-45s %v by %s\n", m.name, took, strings.Join(caught, ", "))
		}
	}
	fmt.Printf("%d mutants, %d survived\n", run, survivors)
	if survivors > 0 || run == 0 {
		os.Exit(1)
	}
}

// leastLimit is how long the tests may take with a mutant at least.
const leastLimit = 30 * time.Second

// baseline runs the tests on the tree as it is, and returns how long they took.
func baseline(root string, tests []string) (time.Duration, error) {
	scratch, err := newScratch()
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	began := time.Now()
	if out, err := goTest(root, scratch, tests...); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	return time.Since(began), nil
}

// newScratch makes a temporary directory that other users may look into, as some
// tests do.
func newScratch() (string, error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// goTest runs go test. What tests leave in their temporary directories when they
// are ended by force is in scratch.
func goTest(root, scratch string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{"test", "-count=1"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch)
	return cmd.CombinedOutput()
}

// mutant is one way to break fifolock.
type mutant struct {
	name  string   // what is wrong with it
	file  string   // that is edited, from the module's root
	old   string   // what is replaced; it stands in the file exactly once
	new   string   // what it is replaced with
	tests []string // arguments of go test
}

// test runs the tests on the mutant, with a limit of time, and returns the names
// of those that failed.
func (m *mutant) test(root string, limit time.Duration) ([]string, error) {
	overlay, cleanup, err := m.overlay(root)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	if err := m.builds(root, overlay); err != nil {
		return nil, err
	}
	args := append([]string{"-overlay", overlay, "-timeout", limit.String()}, m.tests...)
	out, err := goTest(root, filepath.Dir(overlay), args...)
	if err == nil {
		return nil, nil
	}
	return failed(string(out)), nil
}

// builds reports a mutant that does not compile: it would be caught by nothing.
func (m *mutant) builds(root, overlay string) error {
	cmd := exec.Command("go", "build", "-overlay", overlay, "./lock", "./queue")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("does not compile: %s", out)
	}
	return nil
}

// overlay writes the edited file and the description of where it belongs.
func (m *mutant) overlay(root string) (path string, cleanup func(), err error) {
	root, err = filepath.Abs(root)
	if err != nil {
		return "", nil, err
	}
	original := filepath.Join(root, filepath.FromSlash(m.file))
	text, err := os.ReadFile(original)
	if err != nil {
		return "", nil, err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return "", nil, fmt.Errorf("the text to be replaced stands %d times in %s", n, m.file)
	}
	dir, err := newScratch()
	if err != nil {
		return "", nil, err
	}
	cleanup = func() { _ = os.RemoveAll(dir) }
	edited := filepath.Join(dir, filepath.Base(m.file))
	description, err := json.Marshal(map[string]map[string]string{"Replace": {original: edited}})
	if err == nil {
		err = os.WriteFile(edited, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600)
	}
	path = filepath.Join(dir, "overlay.json")
	if err == nil {
		err = os.WriteFile(path, description, 0o600)
	}
	if err != nil {
		cleanup()
		return "", nil, err
	}
	return path, cleanup, nil
}

// A test that failed, or that was running when the time was over.
var failure = regexp.MustCompile(`(?m)^(?:--- FAIL: |\t\t?)(Test\w+)(?: \(.*\))?$`)

// failed finds the tests that failed in what go test printed.
func failed(out string) []string {
	var names []string
	for _, m := range failure.FindAllStringSubmatch(out, -1) {
		names = append(names, m[1])
	}
	if len(names) == 0 {
		switch {
		case strings.Contains(out, "DATA RACE"):
			names = []string{"the race detector"}
		case strings.Contains(out, "test timed out"):
			names = []string{"the time limit"}
		default:
			names = []string{"the run as a whole"}
		}
	}
	return names
}
