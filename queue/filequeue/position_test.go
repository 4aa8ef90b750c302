package filequeue

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// Wherever a ctx ends, a waiter is not taken for the head.
func TestFileContextEndsWhileLooking(t *testing.T) {
	SkipOnWindows(t, "there is no eviction by age")
	dir := filepath.Join(t.TempDir(), "queue")
	holder, waiter := New(dir, WithStaleTimeout(time.Hour)), New(dir) // the holder must be judged
	held, err := holder.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := waiter.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for looks := range 10 {
		place, err := waiter.Position(&endsAfter{t.Context(), looks}, waiting)
		if place.Ahead != 1 && err == nil {
			t.Errorf("with a ctx that ends after %d looks, Position is %d", looks, place.Ahead)
		}
	}
	for _, ticket := range []queue.Ticket{held, waiting} {
		if err := waiter.Release(t.Context(), ticket); err != nil {
			t.Error(err)
		}
	}
}
