// Package cli has what the examples share: the flags that say where a lock is,
// how flags are checked, and how a program ends. How a lock is used stands in the
// examples themselves.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Exit codes of the examples, other than withlock, which has more.
const (
	ExitFailed = 1 // it went wrong, it is not as it should be, or it was interrupted
	ExitUsage  = 2 // the arguments make no sense
)

// UsageError says that the arguments make no sense.
type UsageError struct{ err error }

func (e UsageError) Error() string { return e.err.Error() }
func (e UsageError) Unwrap() error { return e.err }

// Main runs a program and ends the process with its exit code. The program's ctx
// ends with SIGINT, SIGTERM and SIGHUP, but not with a SIGHUP that was ignored when it was
// started, as under nohup. A second SIGINT ends the process at once. The others do not:
// timeout(1) sends two, and so does the end of a terminal.
func Main(program string, run func(ctx context.Context, args []string, out io.Writer) error) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	// Nothing stops it: a second SIGTERM that is still on its way would end the process before
	// the exit code does.
	ctx, _ := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	os.Exit(exitCode(program, err))
}

// exitCode says what there is to say of err.
func exitCode(program string, err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	Say(program, err)
	var usage UsageError
	if errors.As(err, &usage) {
		return ExitUsage
	}
	return ExitFailed
}

// Say writes the error of a program to stderr, and for a [UsageError] where the flags
// are listed.
func Say(program string, err error) {
	var usage UsageError
	if errors.As(err, &usage) {
		err = fmt.Errorf("%w (%s -help lists the flags)", err, program)
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
}

// Sleep returns nil after d, or the error of ctx when that ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// IsTerminal reports whether out is a terminal, where a line can be written over.
func IsTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
