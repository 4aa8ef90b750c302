//go:build linux

package contention

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/lock"
)

func init() { commands["slots"] = useSlots }

// useSlots acquires and releases a semaphore of n slots in so many goroutines, until
// the process is killed or the file "stop" is beside the journal. Each hold is written
// to the journal when it has begun and before it ends: what is written survives a kill.
func useSlots(w *harness.Worker, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	goroutines, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(args[2], os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s := lock.NewSemaphore(w.Queue, n)
	stopped := func() bool {
		_, err := os.Stat(filepath.Join(filepath.Dir(args[2]), "stop"))
		return err == nil
	}
	var all sync.WaitGroup
	errs := make(chan error, goroutines)
	for range goroutines {
		all.Go(func() {
			for !stopped() {
				h, err := s.Acquire(context.Background())
				if err != nil {
					errs <- err
					return
				}
				fmt.Fprintf(journal, "%d began %d\n", harness.Now(), h.Token())
				time.Sleep(time.Millisecond)
				fmt.Fprintf(journal, "%d ends %d\n", harness.Now(), h.Token())
				if err := h.Release(); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	go func() {
		all.Wait()
		select {
		case err := <-errs:
			w.Say("%v", err)
		default:
			w.Say("done")
		}
	}()
	return nil
}

// A semaphore of three slots, whose holders and waiters are killed and stopped. Never
// do more than three hold, tokens are never given twice, and in the end everybody is
// served.
func TestX24StormOfSlots(t *testing.T) { x24StormOfSlots(t, 2*time.Second) }

func TestX24StormOfSlotsTorture(t *testing.T) { x24StormOfSlots(t, harness.Torture(t)) }

func x24StormOfSlots(t *testing.T, duration time.Duration) {
	const slots, workers, goroutines = 3, 6, 2
	random := harness.Random(t)
	h := harness.New(t, faulttest.File(t))
	dir := t.TempDir()
	var journals []string
	killed := make(map[string]int64) // by journal, when
	start := func() (*harness.Process, string) {
		w := h.Start()
		journal := filepath.Join(dir, strconv.Itoa(w.Number))
		mustCreate(t, journal) // it may be killed before it does
		journals = append(journals, journal)
		w.Tell("slots", slots, goroutines, journal)
		return w, journal
	}
	all, of := make([]*harness.Process, workers), make([]string, workers)
	for i := range all {
		all[i], of[i] = start()
	}
	for end := time.Now().Add(duration); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		i := random.IntN(workers)
		switch random.IntN(3) {
		case 0:
			killed[of[i]] = harness.Now()
			all[i].Kill()
			all[i], of[i] = start()
		case 1:
			all[i].Stop()
			time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
			all[i].Continue()
		}
	}
	mustCreate(t, filepath.Join(dir, "stop"))
	for _, w := range all {
		if e := w.AwaitKind(0, harness.Said); e.Text != "done" {
			t.Errorf("worker %d: %s %s", w.Number, e.Text, e.Error)
		}
	}
	checkSlots(t, journals, killed, slots)
	h.CheckNothingIsLeft()
}

func mustCreate(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkSlots looks in the journals for more holds at a time than there are slots. One
// of a process that was killed ends then.
func checkSlots(t *testing.T, journals []string, killed map[string]int64, slots int) {
	t.Helper()
	type change struct {
		at    int64
		by    int
		token int64
	}
	var changes []change
	holds := make(map[int64]int)
	for _, journal := range journals {
		text, err := os.ReadFile(journal)
		if err != nil {
			t.Fatal(err)
		}
		open := make(map[int64]bool)
		for line := range strings.Lines(string(text)) {
			var at, token int64
			var what string
			if _, err := fmt.Sscan(line, &at, &what, &token); err != nil {
				t.Fatal(err)
			}
			if what == "began" {
				holds[token]++
				open[token] = true
				changes = append(changes, change{at, 1, token})
			} else {
				delete(open, token)
				changes = append(changes, change{at, -1, token})
			}
		}
		for token := range open {
			changes = append(changes, change{max(killed[journal], 1), -1, token})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
	held, most := 0, 0
	for _, c := range changes {
		held += c.by
		most = max(most, held)
	}
	for token, n := range holds {
		if n != 1 {
			t.Errorf("token %d was given %d times", token, n)
		}
	}
	t.Logf("%d holds, at most %d at a time", len(holds), most)
	if most > slots || most == 0 {
		t.Errorf("%d hold at a time, want at most %d", most, slots)
	}
}
