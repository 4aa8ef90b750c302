package filequeue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// 1. One holds; another one of the process is about to take a ticket.
// 2. The holder leaves, and leaves the cleaning up to that one.
// 3. That one gives up: it cleans up all the same.
func TestFileCallThatGivesUpJoiningCleansUp(t *testing.T) {
	SkipOnWindows(t, "to leave takes the seq lock")
	dir := filepath.Join(t.TempDir(), "queue")
	q := New(dir)
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := useDirectory(dir)
	if err := d.seq.door.enter(t.Context(), noLimit, nil); err != nil { // no call can join now
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	joined := make(chan error)
	go func() {
		_, err := q.Register(ctx)
		joined <- err
	}()
	for calls := 0; calls < 2; time.Sleep(time.Millisecond) {
		directories.Lock()
		calls = d.calls // this test's, and that one
		directories.Unlock()
	}
	if err := q.Release(t.Context(), ticket); err != nil { // hangs if it wants the seq lock
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, seqName)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-joined; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	d.seq.door.leave(d.dir, func() {})
	d.done()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

// 1. A call is under way.
// 2. Another one asks for cleaning up.
// 3. A third one joins: it shows to others that the directory is in use all the same.
func TestFileJoiningAfterMaybeCleanupSharesTheDirectory(t *testing.T) {
	SkipOnWindows(t, "no lock is on a directory")
	dir := filepath.Join(t.TempDir(), "queue")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	q := New(dir)
	d := useDirectory(dir)
	q.MaybeCleanup(t.Context())
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := lockedfile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if other.Exclude() {
		t.Error("another process can take the directory for one that is not in use")
	}
	other.Close()
	d.done()
	if err := q.Release(t.Context(), ticket); err != nil {
		t.Error(err)
	}
}

// 1. A call cleans up that has not joined, and so does not know how seq is shared.
// 2. It finds the line empty, and then a file appears.
// 3. The directory stays, with a seq that has the rights and the number of the one removed.
func TestFileSeqThatIsMadeAnewIsSharedAsBefore(t *testing.T) {
	SkipOnWindows(t, "there are no rights")
	dir := filepath.Join(t.TempDir(), "queue")
	seqPath, other := filepath.Join(dir, seqName), filepath.Join(dir, "other")
	const rights = 0o660
	q := New(dir, WithFileMode(rights))
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := useDirectory(dir)
	if err := q.Release(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	l, err := d.call(t.Context(), &settings{path: dir}).lockSeq(noLimit, nil)
	if err != nil {
		t.Fatal(err)
	}
	contents, empty := l.empty()
	if !empty {
		t.Fatalf("there is %+v", contents)
	}
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l.removeAll(contents)
	if content, ok, _ := readSeq(d.seq.file, lockedfile.ContentOffset+int64(seqSize)); !ok || content.number != ticket.Number || !content.made {
		t.Errorf("seq says %+v, want number %d, and that the queue has made the directory", content, ticket.Number)
	}
	l.unlock()
	if info, err := os.Stat(seqPath); err != nil {
		t.Error(err)
	} else if info.Mode() != rights {
		t.Errorf("the mode of seq is %v, want %v", info.Mode(), os.FileMode(rights))
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	d.done()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

// 1. A call cleans up, has removed seq, and finds that it cannot remove the directory.
// 2. Another process has come meanwhile. It has made a seq, as in a directory that was there
// before, and holds it for longer than a look at the line lasts: it does not get a processor.
// 3. The first one says in that seq that the queue has made the directory.
func TestFileSeqThatIsMadeAnewMeanwhile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "queue")
	q := New(dir)
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := useDirectory(dir)
	defer d.done()
	if err := q.Release(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	l, err := d.call(t.Context(), &q.settings).lockSeq(noLimit, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.unlock()
	l.seq.close()
	if err := os.Remove(filepath.Join(dir, seqName)); err != nil {
		t.Fatal(err)
	}
	made, err := q.settings.seqFile(seqContent{}).CreateLocked(d.dir, false)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(*testing.T) {
		time.AfterFunc(2*longestLook, made.Close)
		l.keep()
	})
	if content, ok, _ := readSeq(d.seq.file, lockedfile.ContentOffset+int64(seqSize)); !ok || content.number != ticket.Number || !content.made {
		t.Errorf("seq says %+v, want number %d, and that the queue has made the directory", content, ticket.Number)
	}
}

// A seq that is ahead of the clock and was damaged while its last ticket lived:
// the ticket's number is all that keeps the numbers from going back when it is
// cleaned up.
func TestFileNumbersAfterDamageAheadOfClock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "q")
	seq := filepath.Join(dir, "seq")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ahead := fmt.Appendf(nil, "%020d\n", time.Now().Add(time.Hour).UnixMicro())
	if err := os.WriteFile(seq, ahead, 0o600); err != nil {
		t.Fatal(err)
	}
	q := New(dir)
	first, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(seq, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := q.Release(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Release(t.Context(), second); err != nil {
		t.Error(err)
	}
	if second.Number <= first.Number {
		t.Errorf("number %d after %d: want a greater one", second.Number, first.Number)
	}
}

// Where a directory appears empty, another process may put in its seq before the one that
// has made it: that one says in it that the queue has made it, also where it takes no ticket.
func TestFileWhoMadeTheDirectoryIsSaidAtOnce(t *testing.T) {
	dir := t.TempDir()
	q := New(dir)
	ticket, err := q.Register(t.Context()) // its seq says that the directory is kept
	if err != nil {
		t.Fatal(err)
	}
	d := useDirectory(dir)
	d.seq.made = true                                 // this process has made it, and was not as fast
	if _, err := q.Members(t.Context()); err != nil { // has the lock, and takes no ticket
		t.Fatal(err)
	}
	if seq, err := os.ReadFile(filepath.Join(dir, seqName)); err != nil || !bytes.Contains(seq, []byte("\nmade ")) {
		t.Errorf("seq says %q, %v, want that the queue has made the directory", seq, err)
	}
	d.done()
	if err := q.Release(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
}

// endsAfter is a ctx that ends when it was asked for the given number of times.
type endsAfter struct {
	context.Context
	asked int
}

func (c *endsAfter) Err() error {
	if c.asked--; c.asked < 0 {
		return context.Canceled
	}
	return nil
}

// A listing keeps seq no longer than it is wanted.
func TestFileMembersEndsWithItsContext(t *testing.T) {
	q := New(filepath.Join(t.TempDir(), "queue"))
	const tickets = 100
	for range tickets {
		ticket, err := q.Register(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer q.Release(context.Background(), ticket)
	}
	if members, err := q.Members(&endsAfter{t.Context(), tickets / 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("Members returned %d members and %v, want that its ctx has ended", len(members), err)
	}
}
