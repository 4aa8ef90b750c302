//go:build linux

package file

import (
	"context"
	"os"
	"strconv"
	"syscall"

	"github.com/fifolock/fifolock/internal/harness"
)

// commands are what workers can do for a single case.
var commands = map[string]harness.Command{
	"limit": limitFiles,
	"churn": churn,
}

// limitFiles lets the process open so many more files than it has open now.
func limitFiles(w *harness.Worker, args []string) error {
	more, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return err
	}
	// The lowest number that is free is what the next file gets: the limit is
	// on numbers.
	f, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	next := uint64(f.Fd())
	f.Close()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	l.Cur = min(l.Max, next+more)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	w.Say("limited")
	return nil
}

// churn takes and gives back tickets from now on.
func churn(w *harness.Worker, _ []string) error {
	ctx := context.Background()
	for {
		t, err := w.Queue.Register(ctx)
		if err != nil {
			return err
		}
		if err := w.Queue.Remove(ctx, t); err != nil {
			return err
		}
	}
}
