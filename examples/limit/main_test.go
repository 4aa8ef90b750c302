package main

import (
	"os"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
)

func TestMain(m *testing.M) { programtest.Main(m, main, redistest.Main) }

func TestAllIsRight(t *testing.T) {
	for name, flags := range map[string][]string{
		"file":  nil,
		"redis": {"-redis", redistest.Addr(t), "-lease", "2s"},
		"crash": {"-redis", redistest.Addr(t), "-crash", "500ms"},
		"one":   {"-max", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "redis" || name == "crash" {
				redistest.NeedReal(t)
			}
			output := programtest.Run(t, append([]string{"-procs", "3", "-workers", "2", "-calls", "15", "-took", "20ms"}, flags...)...)
			for _, want := range []string{
				"calls at a time",
				"!",
				"calls at a time, and as many as that",
				"process 2 killed with ",
				"nothing: no file or key of the queue",
			} {
				if !strings.Contains(output, want) {
					t.Errorf("the report does not say %q:\n%s", want, output)
				}
			}
			if strings.Contains(output, "WRONG") {
				t.Errorf("the report says that something is wrong:\n%s", output)
			}
		})
	}
}

func TestInterrupted(t *testing.T) {
	testenv.NeedSignals(t)
	t.Parallel()
	p := programtest.Start(t, "-calls", "100000")
	p.Stdout.Want(t, "is killed in the middle")
	p.Process.Signal(os.Interrupt)
	p.WantExit(cli.ExitFailed, "limit: interrupted\n")
}

func TestRefused(t *testing.T) {
	t.Parallel()
	programtest.WantRefused(t, cli.ExitUsage,
		programtest.Refusal{Words: "from 1 to 1000", Args: []string{"-max", "0"}},
		programtest.Refusal{Words: "nothing would wait", Args: []string{"-max", "9"}},
		programtest.Refusal{Words: "above 0", Args: []string{"-took", "0"}},
		programtest.Refusal{Words: "finishes its call", Args: []string{"-took", "6s"}},
		programtest.Refusal{Words: "-lease is for -redis", Args: []string{"-lease", "1s"}},
		programtest.Refusal{Words: "surplus", Args: []string{"surplus"}},
	)
	programtest.WantRefused(t, cli.ExitFailed,
		programtest.Refusal{Words: "127.0.0.1:1", Args: []string{"-redis", "127.0.0.1:1"}},
	)
}
