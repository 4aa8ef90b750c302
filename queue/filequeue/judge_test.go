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
	l, err := d.lockSeq(ctx, &q.settings, forAsLong)
	if err != nil {
		t.Fatal(err)
	}
	e := d.line[0]
	for {
		old, err := l.tooOld(e)
		if err != nil {
			t.Fatal(err)
		}
		if old {
			break
		}
		time.Sleep(timeout / 10)
	}
	refreshed := q.Refresh(ctx, ticket)
	if err := l.bury(e, nil, alive); err != nil {
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
	if err := q.Remove(ctx, ticket); err != nil {
		t.Errorf("Remove of a ticket that is too old and was not evicted: %v", err)
	}
	q.MaybeCleanup(ctx)
}

// The directory is moved away while somebody has the seq lock.
func TestFileDirectoryMovedWhileJudging(t *testing.T) {
	SkipOnWindows(t, "a directory that is open cannot be moved")
	const planted = "00000000000000000001.1.0123456789abcdef0123456789abcdef"
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "queue")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, planted), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	q := New(dir)
	d := useDirectory(dir)
	defer d.done()
	if err := d.open(&q.settings, false); err != nil {
		t.Fatal(err)
	}
	l, err := d.lockSeq(ctx, &q.settings, forAsLong)
	if err != nil {
		t.Fatal(err)
	}
	defer l.unlock()
	if err := l.learn(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+"2"); err != nil {
		t.Fatal(err)
	}
	if err := l.evictHeads(); !errors.Is(err, errDirectoryGone) {
		t.Errorf("judging in a directory that was moved: %v, want errDirectoryGone, so that the call starts over", err)
	}
}

// Somebody clears the directory, and is at the new ticket before its owner.
func TestFileTicketRemovedAtOnce(t *testing.T) {
	q := New(t.TempDir())
	d := useDirectory(q.settings.path)
	defer d.done()
	if err := d.open(&q.settings, false); err != nil {
		t.Fatal(err)
	}
	err := d.lockTicket(&ownTicket{name: "00000000000000000001.1.0123456789abcdef0123456789abcdef"})
	if !errors.Is(err, errBusy) {
		t.Errorf("locking a ticket that is gone: %v, want errBusy, so that another one is taken", err)
	}
}
