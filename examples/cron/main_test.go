package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/internal/redistest"
)

// The test binary is the program, too.
const programVariable = "FIFOLOCK_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(redistest.Main(m))
}

// command is the program, with a directory for its temporary files.
func command(t *testing.T, args ...string) (c *exec.Cmd, temporary string) {
	temporary = t.TempDir()
	c = exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), programVariable+"=1", "TMPDIR="+temporary, "TMP="+temporary)
	return c, temporary
}

func wantEmpty(t *testing.T, directory string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// said is one line of the output: who did what in which minute.
type said struct {
	minute    int
	who, what string
}

// execute runs the program to its end, and returns what it says and the last
// line.
func execute(t *testing.T, args ...string) (story []said, end string) {
	t.Helper()
	c, temporary := command(t, append(args, "-times", "3", "-every", "1ms", "-job", "20ms")...)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantEmpty(t, temporary)
	for line := range strings.Lines(string(out)) {
		var s said
		if n, _ := fmt.Sscanf(line, "minute %d %s %s", &s.minute, &s.who, &s.what); n == 3 {
			story = append(story, s)
		}
		end = line
	}
	if t.Log(string(out)); len(story) == 0 {
		t.Fatal("it says nothing")
	}
	return story, end
}

func places(t *testing.T) map[string][]string {
	return map[string][]string{"file": nil, "redis": {"-redis", redistest.Addr(t)}}
}

func TestOneRunsTheOthersSkip(t *testing.T) {
	for name, flags := range places(t) {
		t.Run(name, func(t *testing.T) {
			story, end := execute(t, flags...)
			did := map[said]int{}
			for _, s := range story {
				did[said{minute: s.minute, what: s.what}]++
			}
			for minute := 1; minute <= 3; minute++ {
				if runs, skips := did[said{minute: minute, what: "RUNS"}], did[said{minute: minute, what: "skips:"}]; runs != 1 || skips != 2 {
					t.Errorf("in minute %d, %d run and %d skip, want 1 and 2", minute, runs, skips)
				}
			}
			if want := "3 hosts, due 3 times: 3 jobs were run, 3 should be.\n"; end != want {
				t.Errorf("the end is %q, want %q", end, want)
			}
		})
	}
}

func TestQueue(t *testing.T) {
	for name, flags := range places(t) {
		t.Run(name, func(t *testing.T) {
			story, end := execute(t, append(flags, "-queue")...)
			ran := map[said]bool{}
			for i, s := range story {
				if s.what != "RUNS" {
					continue
				}
				ran[s] = true
				if next := story[i+1]; next.who != s.who || next.what != "is" {
					t.Errorf("%v is followed by %v: two at a time", s, next)
				}
			}
			if len(ran) != 9 {
				t.Errorf("%d different jobs were run, want 9", len(ran))
			}
			if want := "3 hosts, due 3 times: 9 jobs were run, 9 should be.\n"; end != want {
				t.Errorf("the end is %q, want %q", end, want)
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals here")
	}
	c, temporary := command(t, "-job", "1h", "-queue")
	var said strings.Builder
	c.Stderr = &said
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.Contains(line, "RUNS") {
		t.Errorf("it says %q, %v", line, err)
	}
	c.Process.Signal(os.Interrupt)
	io.Copy(io.Discard, stdout)
	c.Wait()
	if c.ProcessState.ExitCode() != 1 || said.String() != "cron: interrupted\n" {
		t.Errorf("%v, and said %s", c.ProcessState, &said)
	}
	wantEmpty(t, temporary)
}

func TestErrors(t *testing.T) {
	for words, args := range map[string][]string{
		"at least 1":         {"-hosts", "0"},
		"not be below 0":     {"-job", "-1s"},
		"unexpected":         {"surplus"},
		"-surplus":           {"-surplus"},
		"lock: try to lock ": {"-redis", "127.0.0.1:1"},
	} {
		c, temporary := command(t, args...)
		out, _ := c.CombinedOutput()
		if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), words) {
			t.Errorf("cron %v: %v, want exit code 1 and %q:\n%s", args, c.ProcessState, words, out)
		}
		wantEmpty(t, temporary)
	}
}

// TestRecord: a host that is late finds that the job was done; one whose lock
// was lost is refused.
func TestRecord(t *testing.T) {
	r := &record{out: io.Discard}
	if r.isDone(1, "") {
		t.Error("a job is done that was never run")
	}
	if err := r.done(1, "", 7); err != nil || !r.isDone(1, "") || r.isDone(2, "") || r.isDone(1, "host1") {
		t.Errorf("after one job: %v, %v", err, r.runs)
	}
	if err := r.done(2, "", 6); err == nil || r.isDone(2, "") {
		t.Error("a lower token is not refused")
	}
}
