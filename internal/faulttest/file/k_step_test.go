//go:build linux

package file

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
)

// trace attaches strace to a worker that runs. It returns the path of what strace
// writes, and a function that ends it.
func trace(t *testing.T, w *harness.Process, args ...string) (log string, end func()) {
	t.Helper()
	needStrace(t)
	log = filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command("strace", append([]string{"-f", "-o", log, "-p", strconv.Itoa(w.PID)}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	told, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(told)
	var said []string
	for lines.Scan() && !strings.Contains(lines.Text(), " attached") {
		said = append(said, lines.Text())
	}
	if lines.Err() != nil || !strings.Contains(lines.Text(), " attached") {
		_ = cmd.Wait()
		testenv.Unable(t, "needs the right to trace: run where it is given (CAP_SYS_PTRACE): %q", said)
	}
	go io.Copy(io.Discard, told)
	// A process that is traced has ended for its parent when the tracer has noticed it, which
	// has taken it for ever, once.
	w.AfterKill(func() { _ = cmd.Process.Kill() })
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		_ = cmd.Process.Signal(syscall.SIGTERM) // it detaches
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	return log, end
}

// inject has system calls of a worker that runs fail or wait, from now on, as the
// expressions of strace say. Their form is CALL:WHAT. It returns a function that ends it.
// Where paths are given, it is only for calls on one of those.
func inject(t *testing.T, w *harness.Process, paths []string, expressions ...string) (end func()) {
	t.Helper()
	var args, calls []string
	for _, path := range paths {
		args = append(args, "-P", path)
	}
	for _, expression := range expressions {
		call, _, _ := strings.Cut(expression, ":")
		calls = append(calls, call)
		args = append(args, "-e", "inject="+expression)
	}
	_, end = trace(t, w, append(args, "-e", "trace="+strings.Join(calls, ","))...)
	return end
}

// stepper is a worker that stands still after each of its system calls of some
// kinds, until it is told to go on: so a test can do something to the queue
// between any two of them.
type stepper struct {
	*harness.Process
	t       *testing.T
	log     *os.File // that strace writes
	unread  []byte   // the last, incomplete line of it
	stood   int      // how often the worker has been stopped so far
	coming  bool     // it is about to be stopped once more
	resumed int      // stops that are over
	since   int      // stops before it had a ticket; see isSettled
}

// step has a worker stand after each of the system calls. Their names are separated by
// commas. args are further ones for strace.
func step(t *testing.T, w *harness.Process, calls string, args ...string) *stepper {
	t.Helper()
	path, _ := trace(t, w, append([]string{"-e", "trace=" + calls, "-e", "inject=" + calls + ":signal=STOP:when=1+1"}, args...)...)
	t.Cleanup(w.Continue)
	log, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return &stepper{Process: w, t: t, log: log}
}

// stops is how often the worker has been stopped so far.
func (s *stepper) stops() int {
	s.t.Helper()
	text, err := io.ReadAll(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := bytes.SplitAfter(append(s.unread, text...), []byte("\n"))
	for _, line := range lines[:len(lines)-1] {
		switch {
		case bytes.Contains(line, []byte("--- SIGSTOP {")):
			s.coming = true
		case s.coming && bytes.Contains(line, []byte("--- stopped by SIGSTOP")):
			s.stood++
			s.coming = false
		}
	}
	s.unread = bytes.Clone(lines[len(lines)-1])
	return s.stood
}

// awaitStop waits until the worker stands, and reports false if the condition
// comes first.
func (s *stepper) awaitStop(over func() bool) bool {
	s.t.Helper()
	for s.stops() <= s.resumed {
		if over() {
			return false
		}
		time.Sleep(200 * time.Microsecond)
	}
	return true
}

// resume lets the worker go on until its next call.
func (s *stepper) resume() {
	s.t.Helper()
	s.resumed = s.stops()
	s.Continue()
}

// steps resumes the worker whenever it stands, until the condition holds.
func (s *stepper) steps(until func() bool) {
	s.t.Helper()
	for s.awaitStop(until) {
		s.resume()
	}
}

// standsWith resumes the worker whenever it stands, until it does with the flock on the
// ticket of a dead process, which it is about to remove.
func (s *stepper) standsWith(ticket string) {
	s.t.Helper()
	removed := func() bool {
		_, err := os.Lstat(ticket)
		return errors.Is(err, os.ErrNotExist)
	}
	for s.awaitStop(removed) {
		if isLocked(s.t, ticket) {
			return
		}
		s.resume()
	}
	s.t.Fatal("the ticket is gone, and the worker has not stood with its flock")
}

// stepToSeq is step for a worker that calls Lock, and stands when it has the lock on
// seq. Of the calls of a worker that takes a ticket, some are made with it.
func stepToSeq(t *testing.T, w *harness.Process, dir string) *stepper {
	t.Helper()
	s := step(t, w, "pwrite64,flock")
	w.LockFor(time.Minute)
	for s.awaitStop(func() bool { return w.Count(harness.Registered) > 0 }) {
		if isLocked(t, filepath.Join(dir, "seq")) {
			return s
		}
		s.resume()
	}
	t.Fatal("the worker has a ticket, and has not locked seq")
	return nil
}

// isLocked reports whether there is a flock on what is at the path. If there is nothing,
// there is none.
func isLocked(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil && err != unix.EWOULDBLOCK {
		t.Fatal(err)
	}
	return err != nil
}
