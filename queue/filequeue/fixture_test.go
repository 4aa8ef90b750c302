package filequeue_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// fileFixture is a file queue under test. Its methods fail the test if what
// they do cannot be done.
type fileFixture struct {
	*testing.T
	dir  string
	q    *filequeue.Queue
	view queue.TicketQueue // of q, nil for q itself
}

func (f *fileFixture) queue() queue.TicketQueue {
	if f.view != nil {
		return f.view
	}
	return f.q
}

func newFileFixture(t *testing.T, opts ...filequeue.Option) *fileFixture {
	dir := filepath.Join(t.TempDir(), "queue")
	return &fileFixture{T: t, dir: dir, q: filequeue.New(dir, opts...)}
}

func (f *fileFixture) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fileFixture) must(what string, err error) {
	f.Helper()
	if err != nil {
		f.Fatalf("%s: %v", what, err)
	}
}

func (f *fileFixture) mkdir() { f.must("Mkdir", os.MkdirAll(f.dir, 0o700)) }

func (f *fileFixture) write(name, content string) {
	f.Helper()
	f.must("write "+name, os.WriteFile(f.path(name), []byte(content), 0o600))
}

// writeSeq and readSeq are about what seq says, wherever in the file that is.
func (f *fileFixture) writeSeq(content string) {
	f.Helper()
	f.write("seq", strings.Repeat("\x00", filequeue.ContentOffset)+content)
}

func (f *fileFixture) readSeq() string {
	f.Helper()
	content, err := os.ReadFile(f.path("seq"))
	f.must("read seq", err)
	return string(content[min(filequeue.ContentOffset, len(content)):])
}

func (f *fileFixture) register() queue.Ticket {
	f.Helper()
	t, err := f.queue().Register(f.Context())
	f.must("Register", err)
	return t
}

func (f *fileFixture) remove(t queue.Ticket) {
	f.Helper()
	f.must("Remove", f.queue().Remove(f.Context(), t))
}

func (f *fileFixture) release(t queue.Ticket) {
	f.Helper()
	f.must("Release", queue.Release(f.Context(), f.queue(), t))
}

func (f *fileFixture) wantHead(t queue.Ticket, want bool) {
	f.Helper()
	if head, err := f.queue().IsHead(f.Context(), t); err != nil || head != want {
		f.Fatalf("IsHead of ticket %d is %v, %v, want %v", t.Number, head, err, want)
	}
}

func (f *fileFixture) wantPosition(t queue.Ticket, want int) {
	f.Helper()
	if place, err := queue.Position(f.Context(), f.queue(), t); err != nil || place.Ahead != want {
		f.Fatalf("Position of ticket %d is %d, %v, want %d", t.Number, place.Ahead, err, want)
	}
}

// awaitPosition polls until the position is as wanted.
func (f *fileFixture) awaitPosition(t queue.Ticket, want int) {
	f.Helper()
	for {
		place, err := queue.Position(f.Context(), f.queue(), t)
		f.must("Position", err)
		if place.Ahead == want {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (f *fileFixture) wantNotQueued(what string, err error) {
	f.Helper()
	if !errors.Is(err, queue.ErrNotQueued) {
		f.Fatalf("%s returned %v, want ErrNotQueued", what, err)
	}
}

func (f *fileFixture) wantEmpty(want bool) {
	f.Helper()
	if empty, err := f.q.IsEmpty(f.Context()); err != nil || empty != want {
		f.Fatalf("IsEmpty is %v, %v, want %v", empty, err, want)
	}
}

// wantNoDirectory waits on Windows, where what another process has open is gone
// only when that has closed it: a watch is closed a while after it was used.
func (f *fileFixture) wantNoDirectory() {
	f.Helper()
	for runtime.GOOS == "windows" && len(f.names()) == 0 {
		if _, err := os.Lstat(f.dir); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := os.Lstat(f.dir); !errors.Is(err, os.ErrNotExist) {
		f.Fatalf("the directory is there (%v), with %v; want it removed", err, f.names())
	}
}

// wantNothingInDirectory is for one that was made by the test, and so stays.
func (f *fileFixture) wantNothingInDirectory() {
	f.Helper()
	if info, err := os.Lstat(f.dir); err != nil || !info.IsDir() || len(f.names()) > 0 {
		f.Fatalf("the directory is %v, %v, with %v; want it empty", info, err, f.names())
	}
}

// names lists the directory; it has none if it does not exist.
func (f *fileFixture) names() []string {
	entries, _ := os.ReadDir(f.dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// wantNoTickets is about the directory itself, not what the queue says of it.
func (f *fileFixture) wantNoTickets() {
	f.Helper()
	isTicket := regexp.MustCompile(`^\d{20}\.\d+\.[0-9a-f]{32}$`).MatchString
	if names := f.names(); slices.ContainsFunc(names, isTicket) {
		f.Fatalf("a ticket was left behind: %v", names)
	}
}

// worker is another process on the same queue: this test binary in the given
// role, which tells what happens to it in lines on stdout and is told what to
// do in lines on stdin.
type worker struct {
	f     *fileFixture
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	ended bool
}

// start starts a worker in the role. wrapper, if any, is a command that runs
// what follows it.
func (f *fileFixture) start(role string, env []string, wrapper ...string) *worker {
	f.Helper()
	exe, err := os.Executable()
	f.must("Executable", err)
	args := append(slices.Clone(wrapper), exe)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), "FIFOLOCK_ROLE=file-"+role, "FIFOLOCK_DIR="+f.dir), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	f.must("StdinPipe", err)
	out, err := cmd.StdoutPipe()
	f.must("StdoutPipe", err)
	f.must("start worker", cmd.Start())
	w := &worker{f: f, cmd: cmd, in: in, out: bufio.NewScanner(out)}
	f.Cleanup(func() { w.kill() })
	return w
}

// hold starts a worker that stands in line until it is told to release.
func (f *fileFixture) hold(env ...string) *worker {
	f.Helper()
	w := f.start("hold", env)
	w.await("registered")
	return w
}

// line returns the next line of the worker's output.
func (w *worker) line() string {
	w.f.Helper()
	if !w.out.Scan() {
		w.f.Fatalf("the worker has ended: %v", w.out.Err())
	}
	return w.out.Text()
}

// await waits for a line that begins with the word, and returns the rest. That
// it has become the head the worker may have said before.
func (w *worker) await(word string) string {
	w.f.Helper()
	line := w.line()
	for word != "head" && strings.HasPrefix(line, "head") {
		line = w.line()
	}
	rest, ok := strings.CutPrefix(line, word)
	if !ok {
		w.f.Fatalf("the worker says %q, want %q", line, word)
	}
	return strings.TrimSpace(rest)
}

func (w *worker) tell(line string) {
	w.f.Helper()
	_, err := fmt.Fprintln(w.in, line)
	w.f.must("tell the worker", err)
}

// release makes the worker leave the line.
func (w *worker) release() {
	w.f.Helper()
	w.tell("release")
	w.await("released")
}

// kill is kill -9. When it returns, the process is gone. It returns what the
// worker has said before.
func (w *worker) kill() (said []string) {
	if w.ended {
		return nil
	}
	w.ended = true
	_ = w.cmd.Process.Kill()
	for w.out.Scan() {
		said = append(said, w.out.Text())
	}
	_ = w.cmd.Wait()
	return said
}

// end waits until the worker ends by itself.
func (w *worker) end() {
	w.f.Helper()
	w.ended = true
	w.f.must("worker", w.cmd.Wait())
}

// fileWorker is the main function of a worker.
func fileWorker(role string) {
	work, ok := fileRoles[role]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such role:", role)
		os.Exit(2)
	}
	if role != "file-hold" && role != "file-nobody" { // those listen themselves
		endWithTest()
	}
	var opts []filequeue.Option
	if os.Getenv("FIFOLOCK_SHARED") != "" {
		opts = append(opts, filequeue.WithFileMode(0o666))
	}
	if err := work(filequeue.New(os.Getenv("FIFOLOCK_DIR"), opts...)); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
}

func say(args ...any) { fmt.Println(args...) }

// endWithTest ends a worker that is told nothing when the test that started it
// is gone, however it went.
func endWithTest() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
}

// holdWorker stands in line until it is told to release. It says when it has
// registered and when it is the head.
func holdWorker(of *filequeue.Queue) error {
	var q queue.TicketQueue = of
	if n, err := strconv.Atoi(os.Getenv("FIFOLOCK_SHARE")); err == nil {
		q = of.Share(n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t, err := q.Register(ctx)
	if err != nil {
		return err
	}
	say("registered", t.Number)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if awaitHead(ctx, q, t) == nil {
			say("head", t.Number)
		}
	}()
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return nil // the test is over
	}
	cancel()
	<-over
	if err := queue.Release(context.Background(), q, t); err != nil {
		return err
	}
	say("released")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// awaitHead returns when it is the ticket's turn. It looks when it is told to,
// and often if it is the first in line, as package lock does.
func awaitHead(ctx context.Context, q queue.TicketQueue, t queue.Ticket) error {
	if t.Ahead == 0 {
		return nil
	}
	wake, stop, err := queue.Watch(ctx, q, t)
	if err != nil {
		return err
	}
	defer stop()
	ahead := t.Ahead
	for {
		poll := 25 * time.Millisecond
		if ahead > 1 {
			poll = 500 * time.Millisecond
		}
		timer := time.NewTimer(poll)
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
		place, err := queue.Position(ctx, q, t)
		ahead = place.Ahead
		if err != nil || ahead == 0 {
			return err
		}
	}
}
