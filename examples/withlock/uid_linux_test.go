package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
)

// plainUser may send no signal to a process of root.
const plainUser = 65534

// rootArgument makes commandMain hold as root, as a set-user-ID program.
const rootArgument = "root"

func init() {
	if len(os.Args) > 2 && os.Args[1] == commandArgument && os.Args[2] == rootArgument {
		if err := syscall.Setuid(0); err != nil {
			fmt.Println(err)
			os.Exit(98)
		}
		commandMain("hold")
	}
}

// install copies the test binary, with that mode, to where each user can run it.
func install(t *testing.T, name string, mode os.FileMode) (path string) {
	t.Helper()
	directory, err := os.MkdirTemp("", "withlock-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	path = filepath.Join(directory, name)
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{directory: 0o755, path: mode} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// startForeign runs a command with the rights of another user, as sudo is one.
func startForeign(t *testing.T, flags ...string) *process {
	t.Helper()
	testenv.NeedRoot(t)
	command := install(t, "command", 0o755|os.ModeSetuid)
	p := &process{t: t, Process: programtest.Command(t, append(flags, "--", command, commandArgument, rootArgument)...)}
	p.Path = install(t, "withlock", 0o755)
	p.Dir = "/"
	p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: plainUser, Gid: plainUser}}
	p.Start()
	if line := p.line(); !strings.HasPrefix(line, "holding ") {
		t.Skip("needs a temporary directory where programs can have a user of their own (no nosuid):", line)
	}
	return p
}

// TestLostByAnotherUser: a command such as sudo cannot be ended, and withlock says so.
func TestLostByAnotherUser(t *testing.T) {
	name := redistest.Name(t)
	p := startForeign(t, "-redis", redistest.Addr(t), "-name", name, "-lease", "1s", "-grace", "1ms")
	client := redistest.Client(t)
	if err := client.Del(t.Context(), redistest.Keys(t, client, name)...).Err(); err != nil {
		t.Fatal(err)
	}
	p.Stderr.Want(t, "the command cannot be ended: operation not permitted")
	p.Stdin.Close()
	p.WantExit(exitLost, "check what it did")
}

// TestSignalForAnotherUser: nor does such a command get the signals that are passed on, which
// withlock says once.
func TestSignalForAnotherUser(t *testing.T) {
	p := startForeign(t, "-redis", redistest.Addr(t), "-name", redistest.Name(t))
	const words = "the command cannot be sent a signal: operation not permitted"
	p.signal(syscall.SIGTERM)
	p.Stderr.Want(t, words)
	p.signal(syscall.SIGHUP)
	p.Stdin.Close()
	p.WantExit(0, "")
	if said := strings.Count(p.Stderr.String(), words); said != 1 {
		t.Errorf("it is said %d times:\n%s", said, p.Stderr)
	}
}
