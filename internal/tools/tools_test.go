package tools

import (
	"os"
	"testing"
)

// recorder notes how a test ends, and goes on.
type recorder struct {
	testing.TB
	failed, skipped bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.failed = true }
func (r *recorder) Skipf(string, ...any)  { r.skipped = true }

func TestNeed(t *testing.T) {
	there, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const missing = "no-such-program"
	for _, c := range []struct {
		setting         string
		programs        []string
		failed, skipped bool
	}{
		{"", []string{there}, false, false},
		{"require", []string{there}, false, false},
		{"", []string{there, missing}, false, true},
		{"require", []string{there, missing}, true, false},
	} {
		t.Setenv(variable, c.setting)
		r := &recorder{TB: t}
		Need(r, c.programs...)
		if r.failed != c.failed || r.skipped != c.skipped {
			t.Errorf("%v with %q: failed %v, skipped %v", c.programs, c.setting, r.failed, r.skipped)
		}
	}
}
