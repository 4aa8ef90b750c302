package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// baseline runs the tests on the tree as it is, and returns how long they took.
func baseline(root, args string) (time.Duration, error) {
	scratch, err := newScratch()
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	began := time.Now()
	if out, err := goTest(root, scratch, strings.Fields(args)...); err != nil {
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

// goTest runs go test, without what costs a mutant a fifth of its time: vet, and debugging
// information. What tests leave in their temporary directories when they
// are ended by force is in scratch.
func goTest(root, scratch string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{"test", "-count=1", "-vet=off", "-ldflags=-w"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch)
	return cmd.CombinedOutput()
}

// test runs the tests on the mutant, with a limit of time, until the first of them
// fails, and returns those that did, nil if none.
func (m *Mutant) test(root, args string, limit time.Duration) (*catch, error) {
	scratch, err := newScratch()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	e, err := m.edit(root)
	if err != nil {
		return nil, err
	}
	overlay, err := e.overlay(root, scratch)
	if err != nil {
		return nil, err
	}
	if err := e.builds(root, overlay); err != nil {
		return nil, err
	}
	out, err := goTest(root, scratch, append([]string{"-overlay", overlay, "-failfast", "-timeout", limit.String()}, strings.Fields(args)...)...)
	if err == nil {
		return nil, nil
	}
	return newCatch(string(out)), nil
}

// overlay writes the edited file and the description of where it belongs, and
// returns the path of that.
func (e *edit) overlay(root, scratch string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	edited := filepath.Join(scratch, filepath.Base(e.file))
	if err := os.WriteFile(edited, e.text, 0o600); err != nil {
		return "", err
	}
	original := filepath.Join(root, filepath.FromSlash(e.file))
	description, err := json.Marshal(map[string]map[string]string{"Replace": {original: edited}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(scratch, "overlay.json")
	return path, os.WriteFile(path, description, 0o600)
}

// builds reports a mutant that does not compile: nothing would catch it.
func (e *edit) builds(root, overlay string) error {
	cmd := exec.Command("go", "build", "-overlay", overlay, "./lock", "./queue/...")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("does not compile: %s", out)
	}
	return nil
}
