//go:build unix

package filequeue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// aMoment is how long "still blocked" is watched for.
const aMoment = 100 * time.Millisecond

func TestFileKilledHolder(t *testing.T) {
	f := newFileFixture(t)
	holder := f.hold()
	holder.await("head")
	next := f.register()
	f.wantPosition(next, 1)
	holder.kill()
	f.wantPosition(next, 0)
	f.release(next)
	f.wantNoDirectory()
}

// However many are dead, one look is enough.
func TestFileManyKilled(t *testing.T) {
	f := newFileFixture(t)
	var workers []*worker
	for range 5 {
		workers = append(workers, f.hold())
	}
	last := f.register()
	for _, w := range workers {
		w.kill()
	}
	f.wantPosition(last, 0)
	f.release(last)
	f.wantNoDirectory()
}

// One look also finds a dead one directly in front, before its turn comes.
func TestFileKilledInTheMiddle(t *testing.T) {
	f := newFileFixture(t)
	holder, middle := f.hold(), f.hold()
	last := f.register()
	f.wantPosition(last, 2)
	middle.kill()
	f.wantPosition(last, 1)
	holder.await("head")
	holder.release()
	f.awaitPosition(last, 0)
	f.release(last)
	f.wantNoDirectory()
}

// A release makes sure that the next in line is alive, and cleans up if none is.
func TestFileReleaseEvictsTheNext(t *testing.T) {
	f := newFileFixture(t)
	held := f.register()
	next := f.hold()
	next.kill()
	f.release(held)
	f.wantNoDirectory()
}

func TestFileTryRegisterEvictsTheDead(t *testing.T) {
	f := newFileFixture(t)
	holder := f.hold()
	if _, ok, err := f.q.TryRegister(t.Context()); ok || err != nil {
		t.Fatalf("TryRegister of a held queue is %v, %v, want false", ok, err)
	}
	holder.kill()
	ticket, ok, err := f.q.TryRegister(t.Context())
	if !ok || err != nil {
		t.Fatalf("TryRegister of a dead holder's queue is %v, %v, want true", ok, err)
	}
	f.release(ticket)
}

func TestFileStoppedHolderKeepsItsPlace(t *testing.T) {
	f := newFileFixture(t)
	holder := f.hold()
	holder.await("head")
	next := f.register()
	f.must("stop", holder.cmd.Process.Signal(syscall.SIGSTOP))
	for end := time.Now().Add(aMoment); time.Now().Before(end); time.Sleep(time.Millisecond) {
		f.must("CleanupStale", f.q.CleanupStale(t.Context()))
		f.wantPosition(next, 1)
	}
	f.must("continue", holder.cmd.Process.Signal(syscall.SIGCONT))
	holder.release()
	f.awaitPosition(next, 0)
	f.release(next)
	f.wantNoDirectory()
}

// In its own pid namespace every process has pid 1, and no other can be seen.
func TestFilePIDNamespaces(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs pid namespaces: run on Linux")
	}
	testenv.Need(t, "unshare")
	if err := exec.Command("unshare", "--pid", "--fork", "true").Run(); err != nil {
		t.Skipf("needs pid namespaces: run as root: %v", err)
	}
	f := newFileFixture(t)
	holder := f.start("hold", nil, "unshare", "--pid", "--fork", "--kill-child")
	holder.await("registered")
	next := f.start("hold", nil, "unshare", "--pid", "--fork", "--kill-child")
	next.await("registered")
	last := f.register()
	for end := time.Now().Add(aMoment); time.Now().Before(end); time.Sleep(time.Millisecond) {
		f.must("CleanupStale", f.q.CleanupStale(t.Context()))
		f.wantPosition(last, 2)
	}
	holder.kill()
	// The child is killed by the kernel when its parent has ended.
	next.await("head")
	next.kill()
	f.awaitPosition(last, 0)
	f.release(last)
}

// A ticket may be removed by another process: that is how a person gets rid of
// a holder that hangs.
func TestFileRemoveOfAnother(t *testing.T) {
	f := newFileFixture(t)
	holder := f.start("hold", nil)
	number, err := strconv.ParseInt(holder.await("registered"), 10, 64)
	f.must("number", err)
	members, err := f.q.Members(t.Context())
	f.must("Members", err)
	next := f.register()
	ticket := members[0].Ticket
	if ticket.Number != number {
		t.Fatalf("ticket %d is in line, want %d", ticket.Number, number)
	}
	_, err = f.q.IsHead(t.Context(), ticket)
	if err == nil || errors.Is(err, queue.ErrNotQueued) {
		t.Errorf("IsHead of another process's ticket: %v, want an error that says so", err)
	}
	f.remove(ticket)
	f.wantNotQueued("Remove", f.q.Remove(t.Context(), ticket))
	_, err = f.q.IsHead(t.Context(), ticket)
	f.wantNotQueued("IsHead", err)
	f.wantHead(next, true)
	f.release(next)
}

// countWorker enters the section FIFOLOCK_ROUNDS times. In it, it adds 1 to the
// counter by reading and writing, so that two at once lose an update, and
// writes its token to a list.
func countWorker(q *filequeue.Queue) error {
	rounds, err := strconv.Atoi(os.Getenv("FIFOLOCK_ROUNDS"))
	if err != nil {
		return err
	}
	aside := os.Getenv("FIFOLOCK_ASIDE")
	ctx := context.Background()
	for range rounds {
		t, err := q.Register(ctx)
		if err != nil {
			return err
		}
		if err := awaitHead(ctx, q, t); err != nil {
			return err
		}
		if err := count(aside, t.Number); err != nil {
			return err
		}
		say("done")
		if err := q.Release(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func count(aside string, token int64) error {
	n, err := readCounter(aside)
	if err != nil {
		return err
	}
	time.Sleep(rand.N(200 * time.Microsecond))
	if err := os.WriteFile(filepath.Join(aside, "counter.new"), fmt.Appendf(nil, "%d", n+1), 0o600); err != nil {
		return err
	}
	// Renamed, so that a kill cannot leave half a number.
	if err := os.Rename(filepath.Join(aside, "counter.new"), filepath.Join(aside, "counter")); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(aside, "tokens"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, token)
	return err
}

func readCounter(aside string) (int, error) {
	b, err := os.ReadFile(filepath.Join(aside, "counter"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(b))
}

func wantAscendingTokens(t *testing.T, aside string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(aside, "tokens"))
	if err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	for line := range strings.Lines(string(b)) {
		n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if n <= last {
			t.Fatalf("token %d came after %d", n, last)
		}
		last = n
	}
}

func TestFileProcesses(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	f := newFileFixture(t)
	const processes, rounds = 8, 40
	aside := t.TempDir()
	env := []string{"FIFOLOCK_ASIDE=" + aside, fmt.Sprint("FIFOLOCK_ROUNDS=", rounds)}
	var workers []*worker
	for range processes {
		workers = append(workers, f.start("count", env))
	}
	for _, w := range workers {
		for range rounds {
			w.await("done")
		}
		w.end()
	}
	if n, err := readCounter(aside); err != nil || n != processes*rounds {
		t.Errorf("the counter is %d, %v, want %d", n, err, processes*rounds)
	}
	wantAscendingTokens(t, aside)
	f.wantNoDirectory()
}

func TestFileProcessesKilled(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	f := newFileFixture(t)
	const processes, kills, rounds = 6, 12, 30
	aside := t.TempDir()
	env := []string{"FIFOLOCK_ASIDE=" + aside, fmt.Sprint("FIFOLOCK_ROUNDS=", rounds)}
	done := 0
	// These are killed, each at another point of its way.
	for range kills {
		var workers []*worker
		for range 2 {
			workers = append(workers, f.start("count", env))
		}
		for range rand.N(4) {
			workers[0].await("done")
			done++
		}
		time.Sleep(rand.N(3 * time.Millisecond))
		for _, w := range workers {
			done += len(w.kill())
		}
	}
	var workers []*worker
	for range processes {
		workers = append(workers, f.start("count", env))
	}
	for _, w := range workers {
		for range rounds {
			w.await("done")
			done++
		}
		w.end()
	}
	// A killed worker may have counted and not said so.
	if n, err := readCounter(aside); err != nil || n < done || n > done+2*kills {
		t.Errorf("the counter is %d, %v, want %d, or at most %d more", n, err, done, 2*kills)
	}
	wantAscendingTokens(t, aside)
	f.wantNoDirectory()
}

// churnWorker comes and goes as fast as it can, removing everything behind it.
func churnWorker(q *filequeue.Queue) error {
	rounds, err := strconv.Atoi(os.Getenv("FIFOLOCK_ROUNDS"))
	if err != nil {
		return err
	}
	inside := filepath.Join(os.Getenv("FIFOLOCK_ASIDE"), "inside")
	ctx := context.Background()
	for i := range rounds {
		t, err := q.Register(ctx)
		if err == nil {
			err = awaitHead(ctx, q, t)
		}
		if err == nil {
			err = os.Mkdir(inside, 0o700) // fails if another worker is inside
		}
		if err == nil {
			err = os.Remove(inside)
		}
		if err == nil && i%2 == 0 {
			err = q.Remove(ctx, t)
		} else if err == nil {
			err = q.Release(ctx, t)
		}
		if err != nil {
			return fmt.Errorf("ticket %d: %w", t.Number, err)
		}
		q.MaybeCleanup(ctx)
	}
	return nil
}

// Cleaning up and registering meet at every point of their ways.
func TestFileCleanupRacesRegister(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	f := newFileFixture(t)
	const processes, rounds = 6, 300
	env := []string{"FIFOLOCK_ASIDE=" + t.TempDir(), fmt.Sprint("FIFOLOCK_ROUNDS=", rounds)}
	var workers []*worker
	for range processes {
		workers = append(workers, f.start("churn", env))
	}
	for _, w := range workers {
		w.end()
	}
	f.q.MaybeCleanup(t.Context())
	f.wantNoDirectory()
}

func TestFileCleanupRacesRegisterInProcess(t *testing.T) {
	testenv.Long(t)
	f := newFileFixture(t)
	t.Setenv("FIFOLOCK_ROUNDS", "300")
	t.Setenv("FIFOLOCK_ASIDE", t.TempDir())
	errs := make(chan error)
	const goroutines = 4
	for range goroutines {
		go func() { errs <- churnWorker(f.q) }()
	}
	for range goroutines {
		f.must("churn", <-errs)
	}
	f.wantNoDirectory()
}

// crowdWorker takes FIFOLOCK_ROUNDS tickets and keeps them until it is killed.
func crowdWorker(q *filequeue.Queue) error {
	tickets, err := strconv.Atoi(os.Getenv("FIFOLOCK_ROUNDS"))
	if err != nil {
		return err
	}
	for range tickets {
		if _, err := q.Register(context.Background()); err != nil {
			return err
		}
	}
	say("registered")
	select {}
}

// wokenWorker enters the section FIFOLOCK_ROUNDS times, and looks whether it is
// its turn only when it is told to.
func wokenWorker(q *filequeue.Queue) error {
	rounds, err := strconv.Atoi(os.Getenv("FIFOLOCK_ROUNDS"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	for range rounds {
		t, err := q.Register(ctx)
		if err != nil {
			return err
		}
		wake, stop, err := q.Watch(ctx, t)
		if err != nil {
			return err
		}
		for ahead := t.Ahead; ahead > 0; {
			<-wake
			place, err := q.Position(ctx, t)
			ahead = place.Ahead
			if err != nil {
				return err
			}
		}
		stop()
		if err := q.Release(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// Another program puts an older copy of seq in its place: the one of when this process
// last joined. The process must not conclude that no other has joined since.
func TestFileSeqRestored(t *testing.T) {
	f := newFileFixture(t)
	held := f.register()
	old := f.readSeq()
	info, err := os.Stat(f.path("seq"))
	f.must("Stat", err)
	between := f.hold()
	f.writeSeq(old)
	if runtime.GOOS == "linux" { // with its time stamp, as cp -p does
		f.must("Chtimes", os.Chtimes(f.path("seq"), info.ModTime(), info.ModTime()))
	}
	last := f.register()
	if last.Ahead != 2 {
		t.Errorf("%d are ahead of ticket %d, want 2", last.Ahead, last.Number)
	}
	f.release(held)
	between.await("head")
	f.wantHead(last, false)
	between.release()
	f.awaitPosition(last, 0)
	f.release(last)
	f.wantNoDirectory()
}

// Another program touches seq again and again. A ticket that is withdrawn for that
// leaves no file.
func TestFileSeqTouchedAllTheTime(t *testing.T) {
	testenv.Long(t)
	f := newFileFixture(t)
	held := f.register()
	touched, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(touched)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Duration(rand.Int64N(int64(100 * time.Microsecond)))):
				_ = os.Chmod(f.path("seq"), 0o600)
			}
		}
	}()
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			for range 30 {
				ticket, err := f.q.Register(t.Context())
				if err != nil {
					t.Error(err)
				} else if err := f.q.Release(t.Context(), ticket); err != nil {
					t.Error(err)
				}
			}
		})
	}
	calls.Wait()
	close(done)
	<-touched
	if there, err := os.ReadDir(f.dir); err != nil || len(there) != 2 {
		t.Errorf("%d files, want seq and the ticket that is held: %v", len(there), err)
	}
	f.release(held)
	f.wantNoDirectory()
}

// A process dies with all its tickets, the holder's and those behind it. The next in line
// hears of it without having looked by itself.
func TestFileWatchBehindDeadProcess(t *testing.T) {
	f := newFileFixture(t)
	const tickets = 200
	dead := f.start("crowd", []string{fmt.Sprint("FIFOLOCK_ROUNDS=", tickets)})
	dead.await("registered")
	next := f.register()
	if next.Ahead != tickets {
		t.Fatalf("%d are ahead, want %d", next.Ahead, tickets)
	}
	wake := f.watch(next)
	behind := f.register()
	wakeBehind := f.watch(behind)
	dead.kill()
	f.awaitWoken(next, wake, 0)
	f.release(next)
	f.awaitWoken(behind, wakeBehind, 0)
	f.release(behind)
	f.wantNoDirectory()
}

// The one that has its turn before it is of another process. That one dies later, when
// the first of this process has left.
func TestFileWatchBehindProcessThatDiesLater(t *testing.T) {
	f := newFileFixture(t)
	first := f.register()
	dead := f.start("crowd", []string{"FIFOLOCK_ROUNDS=3"})
	dead.await("registered")
	next := f.register()
	wake := f.watch(next)
	for filequeue.RecheckIsSet(f.q) { // the first holds, and so need not be woken
		time.Sleep(time.Millisecond)
	}
	f.release(first)
	dead.kill()
	f.awaitWoken(next, wake, 0)
	f.release(next)
	f.wantNoDirectory()
}
