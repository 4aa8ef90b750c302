//go:build linux

package faulttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/lock"
)

// Slots is a Semaphore that workers use, and the detector of what it must not do: a
// hold began while as many had come before it and had not ended as may hold by its own
// n. That is one hold too many, or one that has barged.
//
// The workers need the command slots, which is [UseSlots].
type Slots struct {
	t     *testing.T
	h     *harness.Harness
	dir   string // of the journals
	users []slotUser
}

type slotUser struct {
	*harness.Process
	journal string
}

// NewSlots prepares a Semaphore on the queue of the harness.
func NewSlots(t *testing.T, h *harness.Harness) *Slots {
	return &Slots{t: t, h: h, dir: t.TempDir()}
}

// Start starts a worker, which acquires and releases in two goroutines, as one of n.
func (s *Slots) Start(n int) *harness.Process {
	s.t.Helper()
	w := s.h.Start()
	journal := filepath.Join(s.dir, strconv.Itoa(w.Number))
	s.create(journal) // it may be killed before it does
	s.users = append(s.users, slotUser{w, journal})
	w.Tell("slots", n, journal)
	return w
}

func (s *Slots) create(path string) {
	s.t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Passing waits for so many holds more.
func (s *Slots) Passing(holds int) {
	s.t.Helper()
	for goal := len(s.holds()) + holds; len(s.holds()) < goal; {
		time.Sleep(10 * time.Millisecond)
	}
}

// Finish waits until each worker that lives has come to its end, as it does when all
// its calls were served, and judges what they have written. It returns how many holds
// there were, and how many of them were lost.
func (s *Slots) Finish() (held, lost int) {
	s.t.Helper()
	s.create(filepath.Join(s.dir, "stop"))
	for _, u := range s.users {
		if u.KilledAt().At == 0 {
			if e := u.AwaitKind(0, harness.Said); e.Text != "done" {
				s.t.Errorf("worker %d: %s %s", u.Number, e.Text, e.Error)
			}
		}
	}
	holds := s.holds()
	lost = s.judge(holds)
	s.h.CheckNothingIsLeft()
	return len(holds), lost
}

// slotHold is one hold, as its worker has written it down.
type slotHold struct {
	token, n    int64
	began, ends int64 // ends is 0 if that was not written
	outcome     string
}

// holds reads the journals. A hold of a process that was killed ends then. If its
// process stood still for half a lease before, its lease may have run out, and the hold
// ends there.
func (s *Slots) holds() (all []slotHold) {
	s.t.Helper()
	for _, u := range s.users {
		text, err := os.ReadFile(u.journal)
		if err != nil {
			s.t.Fatal(err)
		}
		byToken := make(map[int64]*slotHold)
		for line := range strings.Lines(string(text)) {
			if !strings.HasSuffix(line, "\n") {
				break // it was killed as it wrote that, or is writing it now
			}
			what, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if what == "failed" {
				if !s.h.Tolerant {
					s.t.Errorf("worker %d: %s", u.Number, rest)
				}
				continue
			}
			var h slotHold
			if _, err := fmt.Sscan(rest, &h.token, &h.n, &h.began); err != nil {
				s.t.Fatalf("%q: %v", line, err)
			}
			switch known := byToken[h.token]; {
			case what == "began" && known == nil:
				byToken[h.token] = &h
			case what == "began":
				s.t.Errorf("token %d was given twice", h.token)
			case what == "ends":
				known.ends = h.began
			default:
				known.outcome = what
			}
		}
		killed := u.KilledAt().At
		for _, h := range byToken {
			if h.outcome == "" {
				h.ends = cmp.Or(h.ends, max(killed, 1))
				if lease := s.h.Spec.Stale; lease > 0 {
					h.ends = min(h.ends, h.began+int64(lease/2))
				}
			}
			all = append(all, *h)
		}
	}
	return all
}

// judge returns how many holds were lost. What such a one has met is not the
// Semaphore's fault.
func (s *Slots) judge(all []slotHold) (lost int) {
	s.t.Helper()
	tokens := make(map[int64]bool)
	var holds []slotHold
	for _, h := range all {
		if tokens[h.token] {
			s.t.Errorf("token %d was given twice", h.token)
		}
		tokens[h.token] = true
		if h.outcome == "lost" || h.outcome == "unknown" {
			lost++
		} else {
			holds = append(holds, h)
		}
	}
	if lost > 0 && !s.h.Spec.Leased() {
		s.t.Errorf("%d holds were lost, which no living owner's can be", lost)
	}
	slices.SortFunc(holds, func(a, b slotHold) int { return cmp.Compare(a.token, b.token) })
	most, wrong := 0, 0
	for i, h := range holds {
		before, beside := int64(0), 1
		for _, earlier := range holds[max(0, i-1000):i] { // far more than there are callers
			if earlier.ends > h.began {
				before++
				if earlier.began <= h.began {
					beside++
				}
			}
		}
		if before >= h.n {
			if wrong++; wrong > 10 {
				break
			}
			s.t.Errorf("token %d, as one of %d, came to hold while %d that came before had not ended, %d of them in their sections", h.token, h.n, before, beside-1)
		}
		most = max(most, beside)
	}
	s.t.Logf("%d holds, at most %d at a time, %d lost", len(all), most, lost)
	if len(holds) == 0 {
		s.t.Error("there was no hold")
	}
	return lost
}

// UseSlots is the command of a worker that acquires and releases a semaphore of so many
// slots in two goroutines, tries, and gives up, until the process is killed or the file
// "stop" is beside the journal. Each hold is written to the journal when it has begun and
// before it ends, and what became of it: what is written survives a kill.
func UseSlots(w *harness.Worker, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	journal, err := os.OpenFile(args[1], os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	u := slotsInUse{random: w.Random, n: n, journal: journal, semaphore: lock.NewSemaphore(w.Queue, n)}
	stop := filepath.Join(filepath.Dir(args[1]), "stop")
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for _, err := os.Stat(stop); err != nil; _, err = os.Stat(stop) {
				u.once()
			}
		})
	}
	go func() {
		all.Wait()
		w.Say("done")
	}()
	return nil
}

type slotsInUse struct {
	random    *rand.Rand
	n         int
	journal   *os.File
	semaphore *lock.Semaphore
}

func (u *slotsInUse) once() {
	var h *lock.Hold
	var err error
	switch u.random.IntN(8) {
	case 0:
		h, _, err = u.semaphore.TryAcquire(context.Background())
	case 1, 2:
		ctx, cancel := context.WithTimeout(context.Background(), harness.Below(u.random, 20*time.Millisecond))
		h, err = u.semaphore.Acquire(ctx)
		cancel()
	default:
		h, err = u.semaphore.Acquire(context.Background())
	}
	switch {
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		u.write("failed %q", err)
		time.Sleep(5 * time.Millisecond)
	case h != nil:
		u.hold(h)
	}
}

func (u *slotsInUse) hold(h *lock.Hold) {
	u.write("began %d %d %d", h.Token(), u.n, harness.Now())
	time.Sleep(time.Millisecond)
	u.write("ends %d %d %d", h.Token(), u.n, harness.Now())
	outcome := "released"
	if err := h.Release(); errors.Is(err, lock.ErrLost) {
		outcome = "lost"
	} else if err != nil {
		outcome = "unknown"
		u.write("failed %q", err)
	}
	u.write("%s %d %d %d", outcome, h.Token(), u.n, harness.Now())
}

// write writes one line at once.
func (u *slotsInUse) write(format string, args ...any) {
	if _, err := fmt.Fprintf(u.journal, format+"\n", args...); err != nil {
		panic(err)
	}
}
