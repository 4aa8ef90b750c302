//go:build unix

package main

import (
	"os"
	"regexp"
	"testing"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
)

func TestMain(m *testing.M) { programtest.Main(m, main, redistest.Main) }

func TestFencing(t *testing.T) {
	for name, flags := range map[string][]string{
		"file":  {"-stale", "2s"},
		"redis": {"-lease", "2s", "-redis", redistest.Addr(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := programtest.Run(t, flags...)
			// The order matters: the story, then the table.
			story := regexp.MustCompile(`(?s)A is SUSPENDED.*B  has the lock.*A WAKES UP.*A  has written 110 into the unchecked` +
				`.*A  is REFUSED by the checked.*was lost before it was unlocked` +
				`.*B writes with token \d+ +150 +150\n` +
				`A writes with token \d+ +110 +refused\n` +
				`A writes with token \d+ +160\n` +
				`in the end +110 +160\n.*WRONG: 50 lost +RIGHT`)
			if !story.MatchString(out) {
				t.Errorf("that is another story:\n%s", out)
			}
		})
	}
}

// TestInterrupted: no process stays suspended for ever.
func TestInterrupted(t *testing.T) {
	p := programtest.Start(t, "-stale", "1m")
	p.Stdout.Want(t, "B  waits for the lock")
	p.Process.Signal(os.Interrupt)
	p.WantExit(cli.ExitFailed, "fencing: interrupted\n") // when all of them have ended: they have its stderr
}

func TestRefused(t *testing.T) {
	programtest.WantRefused(t, cli.ExitUsage,
		programtest.Refusal{Words: "above 0", Args: []string{"-stale", "-1s"}},
		programtest.Refusal{Words: "-lease is for -redis", Args: []string{"-lease", "1s"}},
		programtest.Refusal{Words: "-stale is for a directory", Args: []string{"-redis", "x:1", "-stale", "1s"}},
		programtest.Refusal{Words: "surplus", Args: []string{"surplus"}},
	)
	programtest.WantRefused(t, cli.ExitFailed,
		programtest.Refusal{Words: "connection refused", Args: []string{"-redis", "127.0.0.1:1"}},
	)
}

func TestAdmit(t *testing.T) {
	for _, checks := range []bool{true, false} {
		s := storage{checks: checks}
		for _, step := range []struct {
			token int64
			late  bool
		}{{5, false}, {5, false}, {7, false}, {5, true}, {6, true}, {7, false}} {
			if got, want := s.admit(step.token), !(checks && step.late); got != want {
				t.Errorf("checks %v: token %d is admitted: %v, want %v", checks, step.token, got, want)
			}
		}
	}
}
