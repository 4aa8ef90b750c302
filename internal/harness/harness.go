//go:build linux

package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// Harness is a lock, the workers that contend for it, and what is known of
// them. Everything it has started ends with the test.
type Harness struct {
	Spec    Spec
	Section time.Duration // how long a section of Run lasts at most
	Gap     time.Duration // how long a worker waits at most until it comes again

	// Tolerant says that a call may return the backend's error, because the
	// test makes the backend fail.
	Tolerant bool

	// Losses says that holds may be lost although the queue has no lease,
	// because the test destroys the queue.
	Losses bool

	// Spoiled says that the next process has to remove what is left, because the test
	// has changed what a queue stores.
	Spoiled bool

	tb        testing.TB
	dir       string
	occupancy *occupancy
	resource  *resource

	mu        sync.Mutex
	changed   *sync.Cond // an event has come, or a worker has ended
	processes []*Process
}

// New prepares a test with workers on the queue of the spec.
func New(tb testing.TB, spec Spec) *Harness {
	tb.Helper()
	// Not tb.TempDir: its path may be too long for a socket's.
	dir, err := os.MkdirTemp("", "harness")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { // workers may be other users
		tb.Fatal(err)
	}
	h := &Harness{Spec: spec, tb: tb, dir: dir}
	h.changed = sync.NewCond(&h.mu)
	if h.occupancy, err = openOccupancy(h.path("occupancy")); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(h.occupancy.close)
	if h.resource, err = startResource(h.path("resource")); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(h.resource.close)
	if err := writeCounter(h.path("counter"), 0); err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{"occupancy", "resource", "counter"} { // whatever the umask
		if err := os.Chmod(h.path(name), 0o666); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(h.killAll)
	return h
}

func (h *Harness) path(name string) string { return filepath.Join(h.dir, name) }

func (h *Harness) killAll() {
	for _, p := range h.all() {
		p.Kill()
	}
}

func (h *Harness) all() []*Process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*Process(nil), h.processes...)
}

// Start starts a worker and waits until it takes commands.
func (h *Harness) Start(changes ...Change) *Process {
	h.tb.Helper()
	p := h.start(changes...)
	p.AwaitKind(0, Ready)
	return p
}

// StartAll starts n workers at once and waits until they take commands.
func (h *Harness) StartAll(n int, changes ...Change) []*Process {
	h.tb.Helper()
	var all []*Process
	for range n {
		all = append(all, h.start(changes...))
	}
	for _, p := range all {
		p.AwaitKind(0, Ready)
	}
	return all
}

// Count returns how many events of that kind all workers have told by now.
func (h *Harness) Count(kind Kind) int {
	n := 0
	for _, p := range h.all() {
		n += p.Count(kind)
	}
	return n
}

// AwaitCount waits until all workers together have told n events of that kind.
func (h *Harness) AwaitCount(kind Kind, n int) {
	for h.Count(kind) < n {
		time.Sleep(5 * time.Millisecond)
	}
}

// Events returns the events of all workers, in the order of each.
func (h *Harness) Events() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []Event
	for _, p := range h.processes {
		all = append(all, p.events...)
	}
	return all
}

// Members returns the members of the line.
func (h *Harness) Members() []queue.Member {
	h.tb.Helper()
	q, closeQueue := h.Spec.Open()
	defer closeQueue()
	members, err := queue.Members(context.Background(), q)
	if err != nil {
		h.tb.Fatal(err)
	}
	return members
}

// CheckNothingIsLeft waits until no artifact of the queue is left, and fails
// the test if that takes longer than the living need to clean up and the leases
// of the dead need to run out. Only after a worker that could not clean up, a process is
// there that looks.
func (h *Harness) CheckNothingIsLeft() {
	h.tb.Helper()
	const patience = 30 * time.Second
	limit := time.Now().Add(patience + 3*h.Spec.Stale)
	helped := h.needsTheNext()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left := h.artifacts()
		if len(left) == 0 {
			return
		}
		if time.Now().After(limit) {
			h.tb.Fatalf("left of %v: %q", h.Spec, left)
		}
		time.Sleep(pause)
		if !helped {
			continue
		}
		// The dead that were behind the last living are removed by the next call that looks.
		q, closeQueue := h.Spec.Open()
		_ = q.CleanupStale(context.Background())
		q.MaybeCleanup(context.Background())
		closeQueue()
	}
}

// needsTheNext reports whether something may be left until the next process looks: a
// worker was killed or stood, or a call of it has failed, or the test has spoiled
// something.
func (h *Harness) needsTheNext() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.processes {
		failed := func(e Event) bool { return e.Cause == OtherCause || e.Cause == NotQueued }
		if p.killed != 0 || p.stopped || slices.ContainsFunc(p.events, failed) {
			return true
		}
	}
	return h.Spoiled
}

// artifacts lists what there is of the queue in its storage.
func (h *Harness) artifacts() []string {
	h.tb.Helper()
	if h.Spec.isFile() {
		entries, err := os.ReadDir(h.Spec.Dir)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			h.tb.Fatal(err)
		}
		left := []string{h.Spec.Dir}
		for _, e := range entries {
			left = append(left, e.Name())
		}
		return left
	}
	left, err := h.Spec.keys(context.Background())
	if err != nil {
		h.tb.Fatal(err)
	}
	return left
}
