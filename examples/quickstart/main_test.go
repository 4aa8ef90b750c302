package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/filequeue"
)

func TestMain(m *testing.M) { programtest.Main(m, main, redistest.Main) }

func TestAllIsRight(t *testing.T) {
	there := t.TempDir()
	for name, flags := range map[string][]string{
		"temporary": nil,
		"file":      {"-file", filepath.Join(t.TempDir(), "queue")},
		"there":     {"-file", there},
		"redis":     {"-redis", redistest.Addr(t), "-lease", "2s"},
		"crash":     {"-redis", redistest.Addr(t), "-crash", "500ms"},
		"name":      {"-redis", "redis://" + redistest.Addr(t), "-name", redistest.Name(t), "-lease", "2s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if len(flags) > 0 && flags[0] == "-redis" {
				redistest.NeedReal(t)
			}
			output := programtest.Run(t, append(flags, "-procs", "3", "-rounds", "6")...)
			for _, want := range []string{
				"3 processes take the lock 6 times each",
				"15 tickets of 3 processes",
				"never two in the section",
				"served in the order of arrival, 0 overtakes",
				"strictly ascending",
				"14, after 14 completed sections: no update lost",
				"process 2 killed, process ",
				"nothing: no file or key of the queue",
				"hand-off",
				"of 18 additions were lost; -nolock shows how",
			} {
				if !strings.Contains(output, want) {
					t.Errorf("the report does not say %q:\n%s", want, output)
				}
			}
			if strings.Contains(output, "WRONG") {
				t.Errorf("the report says that something is wrong:\n%s", output)
			}
			if name == "there" { // it stays, empty
				if entries, err := os.ReadDir(there); err != nil || len(entries) > 0 {
					t.Errorf("left behind: %v, %v", entries, err)
				}
			}
		})
	}
}

func TestNoLock(t *testing.T) {
	t.Parallel()
	output := programtest.Run(t, "-nolock", "-procs", "3", "-rounds", "20")
	for _, want := range []string{"without a lock", "one addition is lost", "after 60 additions: ", " of 60 additions were lost"} {
		if !strings.Contains(output, want) {
			t.Errorf("the report does not say %q:\n%s", want, output)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	programtest.WantRefused(t, cli.ExitUsage,
		programtest.Refusal{Words: "from 2 to 100", Args: []string{"-procs", "1"}},
		programtest.Refusal{Words: "from 2 to 100", Args: []string{"-procs", "101"}},
		programtest.Refusal{Words: "from 2 to", Args: []string{"-rounds", "1"}},
		programtest.Refusal{Words: "-nolock has no queue", Args: []string{"-nolock", "-file", "x"}},
		programtest.Refusal{Words: "-lease is for -redis", Args: []string{"-lease", "1s"}},
		programtest.Refusal{Words: "surplus", Args: []string{"surplus"}},
	)
	programtest.WantRefused(t, cli.ExitFailed,
		programtest.Refusal{Words: "127.0.0.1:1", Args: []string{"-redis", "127.0.0.1:1"}}, // nothing listens there
	)
}

// TestSabotage does to a run from outside what the lock is there to prevent, or
// what goes wrong in the world, and expects the program to notice.
func TestSabotage(t *testing.T) {
	for _, test := range []struct {
		name string
		harm func(t *testing.T, run *running)
		want string
	}{
		{"lost update", func(t *testing.T, run *running) {
			// A number that is set back is what two at once would make of it.
			number, err := readNumber(run.path("number"))
			if err == nil {
				err = writeNumber(run.path("number"), number-2)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "number in the file: "},

		{"left behind", func(t *testing.T, run *running) {
			if err := os.WriteFile(run.path("queue/stray"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "left behind: "},

		{"interrupted", func(t *testing.T, run *running) {
			testenv.NeedSignals(t)
			if err := run.Process.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}, "quickstart: interrupted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for rounds := 60; ; rounds *= 3 {
				run := startRunning(t, rounds)
				if run.awaitNumber(t, 5) && run.whileOwning(t, func() { test.harm(t, run) }) {
					run.WantExit(cli.ExitFailed, test.want)
					return
				}
				run.Wait() // it was too fast for this process
			}
		})
	}
}

// running is the program at work on a file queue.
type running struct {
	*programtest.Process
	last int // the number at the end
}

func startRunning(t *testing.T, rounds int) *running {
	t.Helper()
	return &running{
		programtest.Start(t, "-procs", "3", "-rounds", strconv.Itoa(rounds)),
		2*rounds + rounds/2 - 1, // one is killed in the middle
	}
}

// path is where something is in the directory that the program has made.
func (r *running) path(name string) string {
	made, _ := filepath.Glob(filepath.Join(r.Temporary(), "*"))
	if len(made) != 1 {
		return filepath.Join(r.Temporary(), "missing")
	}
	return filepath.Join(made[0], filepath.FromSlash(name))
}

// whileOwning calls harm when this process owns the lock of the program: no section is
// on its way, and the program does not end. It reports false if the program had no
// section left to do.
func (r *running) whileOwning(t *testing.T, harm func()) bool {
	t.Helper()
	m := lock.New(filequeue.New(r.path("queue")))
	err := m.Lock(t.Context())
	if err == nil {
		defer m.Unlock() // of a directory that the program may have removed by now
		select {
		case <-r.Ended():
			return false
		default:
		}
		var number int
		if number, err = readNumber(r.path("number")); err == nil && number < r.last {
			harm()
			return true
		}
	}
	select {
	case <-r.Ended():
	default:
		if err != nil {
			t.Fatal(err)
		}
	}
	return false
}

// awaitNumber waits until so many sections are done. It reports false if the program has
// ended.
func (r *running) awaitNumber(t *testing.T, least int) bool {
	t.Helper()
	for {
		if number, err := readNumber(r.path("number")); err == nil && number >= least {
			return true
		}
		select {
		case <-r.Ended():
			return false
		default:
		}
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
		time.Sleep(time.Millisecond)
	}
}
