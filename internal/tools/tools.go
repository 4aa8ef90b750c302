// Package tools is for tests that need programs of the system.
package tools

import (
	"os"
	"os/exec"
	"testing"
)

// variable, if it is "require", makes a missing program a failure: where the
// tests are meant to run completely, none may be skipped without a word.
const variable = "FIFOLOCK_TEST_TOOLS"

// Need skips the test if one of the programs is not installed.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		_, err := exec.LookPath(program)
		switch {
		case err == nil:
		case os.Getenv(variable) == "require":
			t.Fatalf("%v: install it, or unset %s", err, variable)
		default:
			t.Skipf("%v: install it; CONTRIBUTING.md names the packages", err)
		}
	}
}
