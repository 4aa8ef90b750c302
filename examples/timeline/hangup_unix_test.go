//go:build unix

package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
)

// TestClosedTerminal: the workers leave the line also when the terminal ends, which tells them
// and their parent.
func TestClosedTerminal(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // so that the program does not ignore it
	picture := filepath.Join(t.TempDir(), "picture.svg")
	name := redistest.Name(t)
	p := programtest.Command(t, "-hold", "100ms", "-rounds", "1000", "-procs", "2", "-out", picture, "-redis", redistest.Addr(t), "-name", name, "-lease", "1h")
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.Start()
	awaitLine(t, p, hasKeys(t, name))
	if err := syscall.Kill(-p.Process.Pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.WantExit(cli.ExitFailed, "timeline: interrupted\n")
	if _, err := os.Stat(picture); err == nil {
		t.Error("there is a picture")
	}
	if keys := redistest.Keys(t, redistest.Client(t), name); len(keys) > 0 {
		t.Errorf("left behind: %q", keys)
	}
}
