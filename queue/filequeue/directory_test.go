package filequeue

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// A directory that was moved away is back at its path by the time one of its tickets is
// looked for: that is lost, and not the ticket of another process.
func TestFileDirectoryBackAsATicketIsLookedFor(t *testing.T) {
	SkipOnWindows(t, "a directory that is open cannot be moved")
	q := New(filepath.Join(t.TempDir(), "queue"))
	var last queue.Ticket
	for range 200 { // to remove them takes longer than a look
		var err error
		if last, err = q.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	d := useDirectory(q.settings.path)
	defer d.done()
	invalidated := make(chan struct{})
	go func() {
		defer close(invalidated)
		d.invalidate() // as the call does that finds that it is not there
	}()
	var err error
	for err == nil {
		_, err = q.IsHead(t.Context(), last)
	}
	if !errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("IsHead: %v, want ErrNotQueued", err)
	}
	<-invalidated
}

// A call that meets a directory which is not at its path any more goes on with a fresh one,
// also while another call is still in the old one.
func TestFileDirectoryGoneIsNotMetAgain(t *testing.T) {
	SkipOnWindows(t, "a directory that is open cannot be removed")
	q := New(filepath.Join(t.TempDir(), "queue"))
	if _, err := q.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := useDirectory(q.settings.path)
	defer d.done()
	if err := os.RemoveAll(q.settings.path); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ticket, err := q.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Release(t.Context(), ticket); err != nil {
		t.Error(err)
	}
}
