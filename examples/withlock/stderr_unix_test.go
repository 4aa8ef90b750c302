//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
)

// startStderr is start with a pipe for stderr, of which it returns the end to read.
func startStderr(t *testing.T, full bool, flags []string, what string) (p *process, stderr *os.File) {
	t.Helper()
	stderr, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stderr.Close() })
	defer w.Close()
	if full {
		fill(t, w)
	}
	p = &process{Process: programtest.Command(t, append(flags, "--", os.Args[0], commandArgument, what)...), t: t}
	p.Cmd.Stderr = w
	p.Start()
	return p, stderr
}

// fill writes to a pipe until it takes no more.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	some := make([]byte, os.Getpagesize())
	raw.Write(func(fd uintptr) bool {
		for err == nil {
			_, err = syscall.Write(int(fd), some)
		}
		return true
	})
	if !errors.Is(err, syscall.EAGAIN) {
		t.Fatal(err)
	}
}

// TestLostWithoutStderr: the command is asked to end also when nothing can be said
// about it.
func TestLostWithoutStderr(t *testing.T) {
	for _, stderr := range []string{"blocked", "closed"} {
		t.Run(stderr, func(t *testing.T) {
			name := redistest.Name(t)
			flags := []string{"-redis", redistest.Addr(t), "-name", name, "-lease", "1s", "-grace", "1h"}
			p, r := startStderr(t, stderr == "blocked", flags, "trap")
			if stderr == "closed" {
				r.Close()
			}
			p.wantHolding()
			client := redistest.Client(t)
			if err := client.Del(t.Context(), redistest.Keys(t, client, name)...).Err(); err != nil {
				t.Fatal(err)
			}
			if line := p.line(); line != "caught terminated" {
				t.Errorf("the command says %q", line)
			}
			go io.Copy(io.Discard, r)
			p.WantExit(exitLost, "")
		})
	}
}

// TestTurnWithBlockedStderr: a place in line that cannot be shown does not hold up
// the line.
func TestTurnWithBlockedStderr(t *testing.T) {
	directory := newDirectory(t)
	flags := []string{"-file", directory}
	first := start(t, flags, "hold")
	first.wantHolding()
	second := start(t, flags, "hold")
	second.Stderr.Want(t, "2nd in line, ")
	third, r := startStderr(t, true, flags, "hold")
	awaitMembers(t, directory, 3)
	fourth, r4 := startStderr(t, true, flags, "hold")
	awaitMembers(t, directory, 4)
	for _, p := range []*process{second, first} {
		p.Stdin.Close()
	}
	first.WantExit(0, "")
	second.WantExit(0, "")
	third.wantHolding()
	fourth.signal(syscall.SIGTERM)
	awaitMembers(t, directory, 1)
	go io.Copy(io.Discard, r4)
	fourth.WantExit(exitSignal+int(syscall.SIGTERM), "")
	go io.Copy(io.Discard, r)
	third.Stdin.Close()
	third.WantExit(0, "")
}

// TestTurnWithClosedStderr: nor does one when the reader of stderr is gone.
func TestTurnWithClosedStderr(t *testing.T) {
	directory := newDirectory(t)
	flags := []string{"-file", directory}
	first := start(t, flags, "hold")
	first.wantHolding()
	second, r := startStderr(t, false, flags, "hold")
	r.Close()
	awaitMembers(t, directory, 2)
	first.Stdin.Close()
	first.WantExit(0, "")
	second.wantHolding()
	second.Stdin.Close()
	second.WantExit(0, "")
}
