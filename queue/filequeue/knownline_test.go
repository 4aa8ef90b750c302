package filequeue

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fifolock/fifolock/queue"
)

// A view of another n lists the directory, as one that joins does:
//
//  1. Four own, two wait in a view in which four own, and one in another view between them.
//  2. The directory is listed, and then three of the owners leave, but not the first. The
//     two that wait are told that they own.
//  3. The listing becomes the line. Its own n has it examine the first alone.
//
// The two own as before.
func TestFileShareListedAsOwnersLeave(t *testing.T) {
	SkipOnWindows(t, "to leave takes the seq lock")
	q := New(filepath.Join(t.TempDir(), "queue"))
	one, four := q.Share(1), q.Share(4)
	var tickets []queue.Ticket
	for _, view := range []queue.TicketQueue{four, four, four, four, four, one, four} {
		ticket, err := view.Register(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	release := func(of queue.TicketQueue, ticket queue.Ticket) {
		t.Helper()
		if err := queue.Release(t.Context(), of, ticket); err != nil {
			t.Fatal(err)
		}
	}
	waiting := []queue.Ticket{tickets[4], tickets[6]}
	var wakes []<-chan queue.Wake
	for _, ticket := range waiting {
		wake, stop, err := queue.Watch(t.Context(), four, ticket)
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		wakes = append(wakes, wake)
	}
	view := one.(*view)
	err := view.with(t.Context(), "list", false, func(c *call) error {
		l, err := c.lockSeq(noLimit, nil)
		if err != nil {
			return err
		}
		defer l.unlock()
		return l.relist(func() ([]string, error) {
			names, err := ticketNames(l.dir)
			for _, ticket := range tickets[1:4] {
				release(four, ticket)
			}
			return names, err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range slices.Backward(waiting) { // the last one first: a look of the other puts the line right
		if wake := <-wakes[i]; wake != queue.WakeOwner {
			t.Errorf("ticket %d was told %v, want WakeOwner", waiting[i].Number, wake)
		}
		if place, err := queue.Position(t.Context(), four, waiting[i]); err != nil || place.Ahead != 0 {
			t.Errorf("ticket %d, which was told that it owns, has %d ahead, %v", waiting[i].Number, place.Ahead, err)
		}
	}
	for _, ticket := range []queue.Ticket{tickets[0], waiting[0], waiting[1]} {
		release(four, ticket)
	}
	release(one, tickets[5])
}

// Between the examination of the owners and the check of the kind others of this process may
// leave: the first ticket is one that was not read yet. It is read, whatever seq says.
func TestFileKindOfATicketThatWasNotRead(t *testing.T) {
	SkipOnWindows(t, "a directory cannot be opened by a second path")
	parent := t.TempDir()
	path, other := filepath.Join(parent, "queue"), filepath.Join(parent, "link", "queue")
	if err := os.Symlink(parent, filepath.Dir(other)); err != nil {
		t.Fatal(err)
	}
	first, err := New(path).Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = New(other).with(t.Context(), "list", false, func(c *call) error {
		unread := func() {
			l, err := c.lockSeq(noLimit, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer l.unlock()
			if err := l.list(); err != nil {
				t.Fatal(err)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if len(c.line.entries) != 1 {
				t.Fatalf("%d are in line, want the one of the other path", len(c.line.entries))
			}
			c.line.entries[0].closeProbe()
			c.line.entries[0].said = nil
		}
		for _, said := range []kind{noKind, exclusive, shared} {
			unread()
			if err := c.checkKind(said, exclusive); err != nil {
				t.Errorf("a Mutex behind a Mutex, where seq says %q: %v", said, err)
			}
			unread()
			if err := c.checkKind(said, shared); err == nil || errors.Is(err, errBusy) {
				t.Errorf("a Semaphore behind a Mutex, where seq says %q: %v", said, err)
			}
		}
		// It has just left.
		unread()
		if err := os.Remove(filepath.Join(path, first.Member)); err != nil {
			return err
		}
		if err := c.checkKind(noKind, shared); !errors.Is(err, errBusy) {
			t.Errorf("behind one that has just left: %v, want to look again", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = New(path).Remove(t.Context(), first)
}
