//go:build linux

package contention

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/fifolock/fifolock/internal/harness"
)

// commands are what workers can do for a single case.
var commands = map[string]harness.Command{"calls": makeCalls}

// makeCalls locks and unlocks without a pause: in so many goroutines, so many times
// each. It writes to a file when each call of Lock was made, and its token. Nothing
// is told meanwhile, which would take longer than the calls.
func makeCalls(w *harness.Worker, args []string) error {
	goroutines, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	times, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	f, err := os.Create(args[2])
	if err != nil {
		return err
	}
	defer f.Close()
	type call struct{ called, token int64 }
	made := make([][]call, goroutines)
	errs := make([]error, goroutines)
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			for range times {
				c := call{called: harness.Now()}
				if errs[i] = w.Mutex.Lock(context.Background()); errs[i] != nil {
					return
				}
				c.token = w.Mutex.Token()
				if errs[i] = w.Mutex.Unlock(); errs[i] != nil {
					return
				}
				made[i] = append(made[i], c)
			}
		})
	}
	all.Wait()
	out := bufio.NewWriter(f)
	for _, c := range slices.Concat(made...) {
		fmt.Fprintln(out, c.called, c.token)
	}
	if err := errors.Join(append(errs, out.Flush())...); err != nil {
		return err
	}
	w.Say("done")
	return nil
}
