//go:build linux

package harness

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is a worker, as the test sees it. Its methods fail the test if what
// they do cannot be done, also because the worker has ended.
type Process struct {
	Number int
	PID    int

	h     *Harness
	cmd   *exec.Cmd
	in    io.WriteCloser
	ended chan struct{} // closed when it has been reaped
	calls int64

	afterKill []func() // set before Kill may be called

	// Guarded by h.mu.
	events  []Event
	killed  int64 // just before the signal was sent; 0 if it was not
	stopped bool  // it has stood
	over    bool
}

// firstCall is above the numbers that a worker gives to its own calls in Run.
const firstCall = 1 << 32

// Change changes how a worker is started.
type Change func(c *config, cmd *exec.Cmd)

// With makes the worker use another spec than the harness's.
func With(s Spec) Change { return func(c *config, _ *exec.Cmd) { c.Spec = s } }

// Environment adds variables to the worker's environment.
func Environment(variables ...string) Change {
	return func(_ *config, cmd *exec.Cmd) { cmd.Env = append(cmd.Env, variables...) }
}

// OwnPIDNamespace makes the worker process 1 of a pid namespace. It needs root.
func OwnPIDNamespace(_ *config, cmd *exec.Cmd) {
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
}

// As makes the worker run as another user. It needs root.
func As(uid, gid uint32) Change {
	return func(c *config, cmd *exec.Cmd) {
		// Only its owner can reach the test binary where it is.
		cmd.Path, cmd.Err = copyProgram(cmd.Path, filepath.Join(filepath.Dir(c.Shared), "program"))
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
}

func copyProgram(from, to string) (string, error) {
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return "", err
	}
	// A child that is started at this moment would have it open to write, and as long as
	// it has, the copy cannot be executed.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return to, os.WriteFile(to, b, 0o755)
}

// Under has the worker started by another program, such as strace. The worker's command
// line goes behind the arguments of that program.
func Under(program string, args ...string) Change {
	return func(_ *config, cmd *exec.Cmd) {
		path, err := exec.LookPath(program)
		if err != nil {
			cmd.Err = err
			return
		}
		cmd.Args = append(append([]string{program}, args...), cmd.Path)
		cmd.Path = path
		cmd.SysProcAttr.Setpgid = true // so that Kill reaches both
	}
}

// start starts a worker and returns without waiting for it.
func (h *Harness) start(changes ...Change) *Process {
	h.tb.Helper()
	h.mu.Lock()
	number := len(h.processes)
	p := &Process{Number: number, h: h, ended: make(chan struct{}), calls: firstCall}
	h.processes = append(h.processes, p)
	h.mu.Unlock()
	if number >= slots {
		h.tb.Fatalf("more than %d workers", slots)
	}
	h.occupancy.used.Store(int64(number) + 1)

	exe, err := os.Executable()
	if err != nil {
		h.tb.Fatal(err)
	}
	c := config{
		Number: number, Spec: h.Spec, Seed: Random(h.tb).Uint64(), Section: h.Section, Gap: h.Gap,
		Shared: h.path("occupancy"), Counter: h.path("counter"), Resource: h.path("resource"),
	}
	p.cmd = exec.Command(exe)
	p.cmd.Env = os.Environ()
	p.cmd.Stderr = os.Stderr
	// The worker dies with the thread that started it, thus with the test.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, change := range changes {
		change(&c, p.cmd)
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		h.tb.Fatal(err)
	}
	p.cmd.Env = append(p.cmd.Env, roleVariable+"="+workerRole, configVariable+"="+string(encoded))
	p.in, err = p.cmd.StdinPipe()
	if err != nil {
		h.tb.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		h.tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		close(p.ended)
		h.tb.Fatalf("start a worker: %v", err)
	}
	p.PID = p.cmd.Process.Pid
	go p.read(out)
	return p
}

// read collects the events, and reaps the worker when there are no more.
func (p *Process) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e = Event{At: Now(), Kind: Said, Text: lines.Text()}
		}
		e.Worker = p.Number
		p.h.mu.Lock()
		p.events = append(p.events, e)
		p.h.changed.Broadcast()
		p.h.mu.Unlock()
	}
	_ = p.cmd.Wait() // ProcessState says it
	p.h.occupancy.leave(p.Number)
	p.h.mu.Lock()
	p.over = true
	p.h.changed.Broadcast()
	p.h.mu.Unlock()
	close(p.ended)
}

// Tell gives the worker a command.
func (p *Process) Tell(words ...any) {
	p.h.tb.Helper()
	if _, err := fmt.Fprintln(p.in, words...); err != nil {
		p.h.tb.Fatalf("tell worker %d %v: %v", p.Number, words, err)
	}
}

// Mark is a place in a worker's events: where they end now.
type Mark int

// Mark returns where the events end now.
func (p *Process) Mark() Mark {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	return Mark(len(p.events))
}

// Await waits, without limit, for the first event from the mark on that matches.
func (p *Process) Await(from Mark, what string, match func(Event) bool) Event {
	p.h.tb.Helper()
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	for {
		for ; int(from) < len(p.events); from++ {
			if match(p.events[from]) {
				return p.events[from]
			}
		}
		if p.over {
			p.h.tb.Fatalf("worker %d has ended (%v) before %s; its last events:\n%s",
				p.Number, p.cmd.ProcessState, what, tail(p.events))
		}
		p.h.changed.Wait()
	}
}

func tail(events []Event) string {
	var b strings.Builder
	for _, e := range events[max(0, len(events)-5):] {
		fmt.Fprintf(&b, "  %+v\n", e)
	}
	return b.String()
}

// AwaitKind waits for the first event of that kind from the mark on.
func (p *Process) AwaitKind(from Mark, kind Kind) Event {
	p.h.tb.Helper()
	return p.Await(from, string(kind), func(e Event) bool { return e.Kind == kind })
}

// Do gives the worker a command of the test's own and returns the first thing
// it says after that.
func (p *Process) Do(words ...any) Event {
	p.h.tb.Helper()
	mark := p.Mark()
	p.Tell(words...)
	return p.AwaitKind(mark, Said)
}

// has returns the first event that matches, if there is one by now.
func (p *Process) has(match func(Event) bool) (Event, bool) {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	for _, e := range p.events {
		if match(e) {
			return e, true
		}
	}
	return Event{}, false
}

// Count returns how many events of that kind there are by now.
func (p *Process) Count(kind Kind) int {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	n := 0
	for _, e := range p.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// Kill is kill -9. It returns when the process is gone and everything it said
// has been read.
func (p *Process) Kill() {
	if p.cmd.Process == nil {
		return // it was not started
	}
	p.h.mu.Lock()
	first := p.killed == 0 && !p.over
	if first {
		p.killed = Now()
	}
	p.h.mu.Unlock()
	if p.cmd.SysProcAttr.Setpgid {
		_ = syscall.Kill(-p.PID, syscall.SIGKILL)
	}
	_ = p.cmd.Process.Kill() // if it has ended already, so be it
	for _, f := range p.afterKill {
		f()
	}
	<-p.ended
	if !first {
		return
	}
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	said := int64(0)
	if n := len(p.events); n > 0 {
		said = p.events[n-1].At
	}
	p.killed = p.pulse().ranUntil(p.killed, said)
}

func (p *Process) pulse() *pulse { return &p.h.occupancy.slots[p.Number].pulse }

// AfterKill has Kill call f when the signal is sent, before it waits for the end.
func (p *Process) AfterKill(f func()) { p.afterKill = append(p.afterKill, f) }

// KilledAt is the time just before the worker was killed, or since when it stood if it
// was killed while it did, or just after that, and leases run out.
// It is known when Kill has returned.
func (p *Process) KilledAt() Event {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	return Event{At: p.killed, Worker: p.Number}
}

// Ends waits until the worker ends by itself, and returns how. It counts as one
// that was killed: nothing is demanded of a call that was under way.
func (p *Process) Ends() *os.ProcessState {
	<-p.ended
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	if p.killed == 0 {
		p.killed = Now()
		if n := len(p.events); n > 0 {
			p.killed = p.events[n-1].At
		}
	}
	return p.cmd.ProcessState
}

// Stop is kill -STOP. It returns when all of the process's threads stand.
func (p *Process) Stop() {
	p.h.tb.Helper()
	p.Signal(syscall.SIGSTOP)
	for !p.stands() {
		time.Sleep(time.Millisecond)
	}
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	p.stopped = true
}

// stands reports whether all threads are stopped, or the process is gone.
func (p *Process) stands() bool {
	tasks := fmt.Sprintf("/proc/%d/task", p.PID)
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return true
	}
	for _, e := range entries {
		stat, err := os.ReadFile(tasks + "/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// The state comes after the name, which is in parentheses.
		state := strings.TrimSpace(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if !strings.ContainsRune("TtZX", rune(state[0])) {
			return false
		}
	}
	return true
}

// Continue is kill -CONT.
func (p *Process) Continue() {
	p.h.tb.Helper()
	p.h.mu.Lock()
	p.stopped = true // also by another than Stop
	p.h.mu.Unlock()
	p.Signal(syscall.SIGCONT)
}

// Signal sends a signal. A worker that has ended is none of its concern.
func (p *Process) Signal(s syscall.Signal) {
	p.h.tb.Helper()
	select {
	case <-p.ended:
		return
	default:
	}
	if err := p.cmd.Process.Signal(s); err != nil && err != os.ErrProcessDone {
		p.h.tb.Fatalf("signal worker %d: %v", p.Number, err)
	}
}
