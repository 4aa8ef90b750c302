//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/lock"
)

// commands are what workers can do for a single case.
var commands = map[string]harness.Command{
	"end":      end,
	"panics":   panics,
	"drop":     drop,
	"child":    child,
	"busy":     busy,
	"closefds": closeTicket,
}

// end ends the process in one of many ways.
func end(_ *harness.Worker, args []string) error {
	switch args[0] {
	case "exit":
		code, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		os.Exit(code)
	case "fatal":
		log.SetOutput(nothing{})
		log.Fatal("the end")
	case "panic":
		os.Stderr.Close() // the trace is of no interest
		panic("the end")
	case "signal":
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		os.Stderr.Close()
		if err := syscall.Kill(os.Getpid(), syscall.Signal(n)); err != nil {
			return err
		}
		select {}
	}
	return fmt.Errorf("no way to end: %v", args)
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }

// panics panics in a section and recovers outside: with a deferred Unlock, or
// without.
func panics(w *harness.Worker, args []string) error {
	section := func() error {
		defer func() { _ = recover() }()
		if err := w.Mutex.Lock(context.Background()); err != nil {
			return err
		}
		if args[0] == "deferred" {
			defer w.Mutex.Unlock()
		}
		panic("in the section")
	}
	err := section()
	w.Say("recovered")
	return err
}

// drop locks a Mutex that nothing refers to afterwards, and collects garbage.
func drop(w *harness.Worker, _ []string) error {
	err := lock.New(w.Queue).Lock(context.Background())
	for range 10 {
		runtime.GC()
	}
	w.Say("dropped")
	return err
}

// child starts a process that outlives this one, and tells its pid: it inherits
// what every child does, or all the files of tickets too.
func child(w *harness.Worker, args []string) error {
	cmd := exec.Command("sleep", "600")
	if args[0] == "with-tickets" {
		for _, fd := range ticketDescriptors() {
			dup, err := syscall.Dup(fd)
			if err != nil {
				return err
			}
			defer syscall.Close(dup)
			cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(dup), "ticket"))
		}
		if len(cmd.ExtraFiles) == 0 {
			return errors.New("no ticket's file is open")
		}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.Say("%d", cmd.Process.Pid)
	return nil
}

// ticketDescriptors are those of the open files of tickets.
func ticketDescriptors() (fds []int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		path, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.Count(filepath.Base(path), ".") != 2 || !strings.HasPrefix(filepath.Base(path), "0000") {
			continue
		}
		if fd, err := strconv.Atoi(e.Name()); err == nil {
			fds = append(fds, fd)
		}
	}
	return fds
}

// busy burns all processors and memory from now on.
func busy(w *harness.Worker, _ []string) error {
	for range 2 * runtime.GOMAXPROCS(0) {
		go func() {
			var kept [64][]byte
			for i := 0; ; i++ {
				kept[i%len(kept)] = make([]byte, 1<<20)
			}
		}()
	}
	w.Say("busy")
	return nil
}

// closeTicket closes the files of tickets behind the queue's back.
func closeTicket(w *harness.Worker, _ []string) error {
	fds := ticketDescriptors()
	for _, fd := range fds {
		if err := syscall.Close(fd); err != nil {
			return err
		}
	}
	w.Say("closed %d", len(fds))
	return nil
}
