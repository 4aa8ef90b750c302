//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/internal/redistest"
)

// The test binary is the program, too.
const programVariable = "FIFOLOCK_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if isWorker() || os.Getenv(programVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(redistest.Main(m))
}

// command is the program, with a directory for its temporary files.
func command(t *testing.T, args ...string) (c *exec.Cmd, temporary string) {
	temporary = t.TempDir()
	c = exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), programVariable+"=1", "TMPDIR="+temporary)
	return c, temporary
}

func wantEmpty(t *testing.T, directory string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestFencing(t *testing.T) {
	for name, flags := range map[string][]string{
		"file":  {"-lease", "1s"},
		"redis": {"-lease", "1s", "-redis", redistest.Addr(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, temporary := command(t, flags...)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			wantEmpty(t, temporary)
			// The order matters: the story, then the table.
			story := regexp.MustCompile(`(?s)A is SUSPENDED.*B  has the lock.*A WAKES UP.*A  has written 110 into the unchecked` +
				`.*A  is REFUSED by the checked.*was lost before it was unlocked` +
				`.*B writes with token \d+ +150 +150\n` +
				`A writes with token \d+ +110 +refused\n` +
				`A writes with token \d+ +160\n` +
				`in the end +110 +160\n.*WRONG: 50 lost +RIGHT`)
			if !story.Match(out) {
				t.Errorf("that is another story:\n%s", out)
			}
		})
	}
}

// TestInterrupted: nobody stays suspended for ever.
func TestInterrupted(t *testing.T) {
	c, temporary := command(t, "-lease", "1m")
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := c.StderrPipe() // the workers have it, too
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "B  waits for the lock") {
	}
	c.Process.Signal(os.Interrupt)
	io.Copy(io.Discard, stdout)
	said, _ := io.ReadAll(stderr) // ends when all of them have ended
	c.Wait()
	if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(said), "not finished: context canceled") {
		t.Errorf("%v, and said %s", c.ProcessState, said)
	}
	wantEmpty(t, temporary)
}

func TestErrors(t *testing.T) {
	for words, args := range map[string][]string{
		"-lease must be":     {"-lease", "1ms"},
		"unexpected":         {"surplus"},
		"-surplus":           {"-surplus"},
		"connection refused": {"-redis", "127.0.0.1:1"},
	} {
		c, temporary := command(t, args...)
		out, _ := c.CombinedOutput()
		if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), words) {
			t.Errorf("fencing %v: %v, want exit code 1 and %q:\n%s", args, c.ProcessState, words, out)
		}
		wantEmpty(t, temporary)
	}
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
