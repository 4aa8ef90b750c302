package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
)

func TestMain(m *testing.M) { programtest.Main(m, main, redistest.Main) }

// said is one line of the output.
type said struct {
	minute     int
	host, what string
}

// execute runs the program to its end, and returns what it says and the last
// line.
func execute(t *testing.T, args ...string) (story []said, end string) {
	t.Helper()
	out := programtest.Run(t, append(args, "-times", "3", "-every", "1ms", "-job", "20ms")...)
	for line := range strings.Lines(out) {
		var s said
		if n, _ := fmt.Sscanf(line, "minute %d %s %s", &s.minute, &s.host, &s.what); n == 3 {
			story = append(story, s)
		}
		end = line
	}
	if t.Log(out); len(story) == 0 {
		t.Fatal("it says nothing")
	}
	return story, end
}

func places(t *testing.T) map[string][]string {
	return map[string][]string{
		"file":  nil,
		"redis": {"-redis", redistest.Addr(t), "-name", redistest.Name(t), "-lease", "10s"},
	}
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
				if next := story[i+1]; next.host != s.host || next.what != "is" {
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
	testenv.NeedSignals(t)
	p := programtest.Start(t, "-job", "1h", "-queue")
	p.Stdout.Want(t, "RUNS")
	p.Process.Signal(os.Interrupt)
	p.WantExit(cli.ExitFailed, "cron: interrupted\n")
}

func TestRefused(t *testing.T) {
	programtest.WantRefused(t, cli.ExitUsage,
		programtest.Refusal{Words: "from 1 to 1000", Args: []string{"-hosts", "0"}},
		programtest.Refusal{Words: "above 0", Args: []string{"-job", "-1s"}},
		programtest.Refusal{Words: "-lease is for -redis", Args: []string{"-lease", "1s"}},
		programtest.Refusal{Words: "surplus", Args: []string{"surplus"}},
	)
	programtest.WantRefused(t, cli.ExitFailed,
		programtest.Refusal{Words: "try to lock: ", Args: []string{"-redis", "127.0.0.1:1"}},
	)
}

// TestLost: a job ends when its lock is lost, in either kind of use.
func TestLost(t *testing.T) {
	for name, flags := range map[string][]string{"one": nil, "queue": {"-queue"}} {
		t.Run(name, func(t *testing.T) {
			name, client := redistest.Name(t), redistest.Client(t)
			p := programtest.Start(t, append(flags, "-redis", redistest.Addr(t), "-name", name, "-lease", "1s", "-hosts", "1", "-job", "1h")...)
			p.Stdout.Want(t, "RUNS")
			if err := client.Del(t.Context(), redistest.Keys(t, client, name)...).Err(); err != nil {
				t.Fatal(err)
			}
			p.WantExit(cli.ExitFailed, lock.ErrLost.Error())
		})
	}
}

// TestRecord: a host that is late finds that the job was done; a host that has lost its
// lock is refused, also if the next one has only looked.
func TestRecord(t *testing.T) {
	r := &record{out: io.Discard}
	wantDone := func(minute int, of string, token int64, want bool) {
		t.Helper()
		if done, err := r.isDone(minute, of, token); done != want || err != nil {
			t.Errorf("the job of minute %d of %q is done: %v, %v, want %v", minute, of, done, err, want)
		}
	}
	wantDone(1, "", 7, false)
	if err := r.done(1, "", 7); err != nil {
		t.Error(err)
	}
	wantDone(1, "", 7, true)
	wantDone(1, "host1", 7, false)
	wantDone(2, "", 8, false)
	if err := r.done(2, "", 7); err == nil {
		t.Error("a holder writes after the next one has looked")
	}
	if _, err := r.isDone(2, "", 7); err == nil {
		t.Error("a lower token is not refused")
	}
	wantDone(2, "", 8, false)
}
