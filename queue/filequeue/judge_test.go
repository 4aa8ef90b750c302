package filequeue

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// A judge is stopped between finding a ticket too old and removing it, and its
// owner, which had been stopped as well, comes back meanwhile. Either the judge
// must find nothing to remove, or the owner must be told that it is too late.
//
//  1. the ticket grows too old
//  2. the judge, with the seq lock, looks at its time stamp
//  3. the owner refreshes
//  4. the judge removes the ticket
func TestFileRefreshBehindAJudge(t *testing.T) {
	SkipOnWindows(t, "there is no eviction by age")
	const timeout = 20 * time.Millisecond
	ctx := context.Background()
	q := New(filepath.Join(t.TempDir(), "queue"), WithStaleTimeout(timeout))
	ticket, err := q.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d := useDirectory(q.settings.path)
	defer d.done()
	l, err := d.call(ctx, &q.settings).lockSeq(noLimit, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := d.line.entries[0]
	for {
		l.now = time.Time{} // a new look at the clock
		old, err := l.isTooOld(e)
		if err != nil {
			t.Fatal(err)
		}
		if old {
			break
		}
		time.Sleep(timeout / 10)
	}
	refreshed := q.Refresh(ctx, ticket)
	d.mu.Lock()
	err = l.removeGone(e, false)
	d.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	l.unlock()
	if !errors.Is(refreshed, queue.ErrNotQueued) {
		t.Errorf("Refresh returned %v, and then the ticket was evicted", refreshed)
	}
	if err := q.Release(ctx, ticket); !errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("Release of the evicted ticket: %v, want queue.ErrNotQueued", err)
	}
}

// Once too late, always too late: the stamp of a refresh that did not count
// must not make the next one count.
func TestFileRefreshTooLate(t *testing.T) {
	SkipOnWindows(t, "there is no eviction by age")
	const timeout = 20 * time.Millisecond
	ctx := context.Background()
	q := New(filepath.Join(t.TempDir(), "queue"), WithStaleTimeout(timeout))
	ticket, err := q.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * timeout) // the longer it takes, the later it is
	for range 3 {
		if err := q.Refresh(ctx, ticket); !errors.Is(err, queue.ErrNotQueued) {
			t.Errorf("Refresh of a ticket that is too old: %v, want queue.ErrNotQueued", err)
		}
	}
	if head, err := q.IsHead(ctx, ticket); !errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("IsHead of a ticket that is too old: %v, %v, want queue.ErrNotQueued", head, err)
	}
	if next, ok, err := q.TryRegister(ctx); !ok {
		t.Errorf("TryRegister behind a ticket that is lost: %v, %v, %v, want that it owns", next, ok, err)
	} else if err := q.Remove(ctx, next); err != nil {
		t.Error(err)
	}
	if err := q.Remove(ctx, ticket); !errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("Remove of a ticket that is too old: %v, want queue.ErrNotQueued", err)
	}
	q.MaybeCleanup(ctx)
}
