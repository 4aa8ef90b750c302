package filequeue

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The clock is set back by an hour while a process uses the queue. To itself
// the time goes on, but a process that is started then begins with what the
// clock says; so the number that it must exceed stays.
func TestFileNumbersAscendWhenTheClockIsSetBack(t *testing.T) {
	ctx := context.Background()
	q := New(filepath.Join(t.TempDir(), "queue"))
	started := startNumber
	defer func() { startNumber = started }()

	startNumber += time.Hour.Microseconds() // what the clock said, in the old process
	old, err := q.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Release(ctx, old); err != nil {
		t.Fatal(err)
	}
	startNumber = started // a new process
	next, err := q.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if next.Number <= old.Number {
		t.Errorf("number %d after %d", next.Number, old.Number)
	}
	if err := q.Release(ctx, next); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(q.settings.path, seqName)); err != nil {
		t.Errorf("the number that the next one must exceed was removed: %v", err)
	}
}
