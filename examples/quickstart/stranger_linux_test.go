package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fifolock/fifolock/examples/internal/cli"
)

// TestWorkerKilledFromOutside: a worker that ends when it should not fails the
// run, and the others do not stay behind.
func TestWorkerKilledFromOutside(t *testing.T) {
	t.Parallel()
	run := startRunning(t, 1000) // it does not come to the end
	run.awaitNumber(t, 5)
	workers := childrenOf(t, run.Process.Process.Pid)
	if len(workers) != 3 {
		t.Fatalf("%d workers, want 3", len(workers))
	}
	if err := syscall.Kill(workers[2], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	run.WantExit(cli.ExitFailed, "signal: killed")
	for _, pid := range workers {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("worker %d still runs", pid)
		}
	}
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil || len(tasks) == 0 {
		t.Skip("needs a kernel that lists children (CONFIG_PROC_CHILDREN):", err)
	}
	var children []int
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			children = append(children, child)
		}
	}
	return children
}
