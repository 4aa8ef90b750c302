package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// build compiles the program, so that the test runs and kills what a reader
// runs and kills.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "quickstart")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// execute runs the program to its end and returns what it printed and its exit
// code.
func execute(t *testing.T, program string, args ...string) (output string, exitCode int) {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	return string(out), exitCodeOf(t, err)
}

func exitCodeOf(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := err.(*exec.ExitError)
	if !ok {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

func wantAllRight(t *testing.T, output string, exitCode int) {
	t.Helper()
	if exitCode != 0 {
		t.Errorf("exit code %d", exitCode)
	}
	for _, want := range []string{
		"3 processes take the lock 6 times each",
		"15 tickets of 3 processes",
		"never two in the section",
		"served in the order of arrival, 0 overtakes",
		"strictly ascending",
		"14, after 14 completed sections: no update lost",
		"process 2 killed, process ",
		"left behind",
		"nothing:",
		"hand-off",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if strings.Contains(output, "WRONG") {
		t.Error("the report says that something is wrong")
	}
	if t.Failed() {
		t.Log(output)
	}
}

func wantEmptyDirectory(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left behind", e.Name())
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	output, exitCode := execute(t, build(t), "-procs", "3", "-rounds", "6", "-dir", dir)
	wantAllRight(t, output, exitCode)
	wantEmptyDirectory(t, dir)
}

func TestRedis(t *testing.T) {
	redistest.NeedReal(t)
	dir := t.TempDir()
	output, exitCode := execute(t, build(t), "-procs", "3", "-rounds", "6", "-dir", dir, "-redis", redistest.Addr(t))
	wantAllRight(t, output, exitCode)
	wantEmptyDirectory(t, dir)
}

func TestRejectsWhatMakesNoSense(t *testing.T) {
	program := build(t)
	for _, args := range [][]string{
		{"-procs", "1"},
		{"-procs", "101"},
		{"-rounds", "1"},
		{"-dir", filepath.Join(t.TempDir(), "missing")},
		{"-redis", "127.0.0.1:1"}, // nobody listens there
		{"surplus"},
	} {
		if output, exitCode := execute(t, program, args...); exitCode != 1 {
			t.Errorf("quickstart %s: exit code %d, want 1\n%s", strings.Join(args, " "), exitCode, output)
		}
	}
}

// TestSabotage does to a run from outside what the lock is there to prevent, or
// what goes wrong in the world, and expects the program to notice.
func TestSabotage(t *testing.T) {
	program := build(t)
	for _, test := range []struct {
		name string
		harm func(t *testing.T, run *running)
		want string
	}{
		{"lost update", func(t *testing.T, run *running) {
			// A number that is set back is what two at once would make of it.
			// The section that is on its way may write over it, so it is done
			// often. By rename, so that nobody reads half of it.
			other := filepath.Join(t.TempDir(), "number")
			for range 200 {
				number, err := readNumber(run.path("number"))
				if err == nil && number > 2 && writeNumber(other, number-2) == nil {
					os.Rename(other, run.path("number"))
				}
				time.Sleep(time.Millisecond)
			}
		}, "number in the file: "},

		{"left behind", func(t *testing.T, run *running) {
			if err := os.WriteFile(run.path("queue/stray"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "left behind: "},

		{"interrupted", func(t *testing.T, run *running) {
			if err := run.command.Process.Signal(os.Interrupt); err != nil {
				t.Skip("cannot interrupt here:", err)
			}
		}, "quickstart: interrupted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := startRunning(t, program, 40)
			run.waitForNumber(t, 5)
			test.harm(t, run)
			err := run.command.Wait()
			if exitCode := exitCodeOf(t, err); exitCode != 1 {
				t.Errorf("exit code %d, want 1", exitCode)
			}
			if output := run.output.String(); !strings.Contains(output, test.want) {
				t.Errorf("the output does not say %q:\n%s", test.want, output)
			}
			wantEmptyDirectory(t, run.dir)
		})
	}
}

// running is the program at work on a file queue.
type running struct {
	command *exec.Cmd
	output  bytes.Buffer
	dir     string
}

func startRunning(t *testing.T, program string, rounds int) *running {
	t.Helper()
	r := &running{dir: t.TempDir()}
	r.command = exec.Command(program, "-procs", "3", "-rounds", strconv.Itoa(rounds), "-dir", r.dir)
	r.command.Stdout = &r.output
	r.command.Stderr = &r.output
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.command.Process.Kill() })
	return r
}

// path is where something is in the directory that the program has made.
func (r *running) path(name string) string {
	made, _ := filepath.Glob(filepath.Join(r.dir, "*"))
	if len(made) != 1 {
		return filepath.Join(r.dir, "missing")
	}
	return filepath.Join(made[0], filepath.FromSlash(name))
}

// waitForNumber waits until so many sections are done.
func (r *running) waitForNumber(t *testing.T, least int) {
	t.Helper()
	for {
		if number, err := readNumber(r.path("number")); err == nil && number >= least {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
		time.Sleep(time.Millisecond)
	}
}
