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

// setBack has this process believe that the clock was set back.
func setBack(by time.Duration) { clock.number += by.Microseconds() }

// The clock is set back by an hour while a process uses the queue. It goes on from the
// time that it knew, but a process that is started then begins with what the
// clock says; so the number that it must exceed stays.
func TestFileNumbersAscendWhenTheClockIsSetBack(t *testing.T) {
	ctx := context.Background()
	q := New(filepath.Join(t.TempDir(), "queue"))
	defer func() { clock = newClock() }()

	setBack(time.Hour) // in the old process
	old, err := q.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Release(ctx, old); err != nil {
		t.Fatal(err)
	}
	clock = newClock() // a new process
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

// When the time has come again that the clock was set back from, nothing is left behind any
// more.
func TestFileNothingIsLeftAfterTheClockWasSetBack(t *testing.T) {
	q := New(filepath.Join(t.TempDir(), "queue"))
	defer func() { clock = newClock() }()
	lockOnce := func() queue.Ticket {
		t.Helper()
		ticket, err := q.Register(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Release(t.Context(), ticket); err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	lockOnce()
	setBack(200 * time.Millisecond)
	ahead := lockOnce()
	if time.Now().UnixMicro() < ahead.Number {
		if _, err := os.Stat(filepath.Join(q.settings.path, seqName)); err != nil {
			t.Errorf("the number that the next one must exceed was removed: %v", err)
		}
	}
	for time.Now().UnixMicro() <= ahead.Number {
		time.Sleep(time.Millisecond)
	}
	if next := lockOnce(); next.Number <= ahead.Number {
		t.Errorf("number %d after %d", next.Number, ahead.Number)
	}
	if _, err := os.Stat(q.settings.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

// The clock says a time for a moment that is no number any more. It is forgotten.
func TestFileNumbersAfterAClockThatWasFarAhead(t *testing.T) {
	q := New(filepath.Join(t.TempDir(), "queue"))
	defer func() { clock = newClock() }()
	clock.number = maxNumber
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Release(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
}
