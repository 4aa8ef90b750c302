package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// The test binary is the program, and the command that it runs, too.
const (
	programVariable = "FIFOLOCK_TEST_PROGRAM"
	commandArgument = "command-of-test"
)

// stillNone is how long a command waits before it believes that no second
// signal comes.
const stillNone = 100 * time.Millisecond

func TestMain(m *testing.M) {
	takeHangups()
	if len(os.Args) > 2 && os.Args[1] == commandArgument {
		commandMain(os.Args[2])
	}
	if os.Getenv(programVariable) != "" {
		main()
	}
	os.Exit(redistest.Main(m))
}

// takeHangups undoes what nohup does to the tests: children ignore the signals
// that their parent ignores, but not those that it handles.
func takeHangups() {
	if signal.Ignored(syscall.SIGHUP) && os.Getenv(programVariable) == "" {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}

// commandMain is what runs under the lock.
func commandMain(what string) {
	switch what {
	case "token":
		fmt.Println(os.Getenv("FIFOLOCK_TOKEN"))
		os.Exit(7)
	case "hold": // until stdin ends
		fmt.Println("holding", os.Getpid())
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	case "trap": // until a signal comes
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, os.Interrupt)
		fmt.Println("holding", os.Getpid())
		fmt.Println("caught", <-signals)
		os.Exit(9)
	case "count": // the signals that come
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, os.Interrupt)
		fmt.Println("holding", os.Getpid())
		<-signals
		select {
		case <-signals:
			fmt.Println("two")
		case <-time.After(stillNone):
			fmt.Println("one")
		}
		os.Exit(0)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("holding", os.Getpid())
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(99)
}

// process is the program at work.
type process struct {
	*exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
	stderr *output
}

// output collects what is written, and can be waited for.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // closed when there is more
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grown != nil {
		close(o.grown)
		o.grown = nil
	}
	return o.text.Write(b)
}

func (o *output) look() (text string, grown <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grown == nil {
		o.grown = make(chan struct{})
	}
	return o.text.String(), o.grown
}

// want waits until that has been written.
func (o *output) want(t *testing.T, what string) {
	t.Helper()
	for {
		text, grown := o.look()
		if strings.Contains(text, what) {
			return
		}
		select {
		case <-grown:
		case <-t.Context().Done():
			t.Fatalf("%q was not written, only:\n%s", what, text)
		}
	}
}

// start runs: withlock FLAGS -- TEST-BINARY command-of-test WHAT.
func start(t *testing.T, flags []string, what string) *process {
	t.Helper()
	return startArgs(t, append(flags, "--", os.Args[0], commandArgument, what)...)
}

func startArgs(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), stderr: &output{}}
	p.Env = append(os.Environ(), programVariable+"=1")
	p.Stderr = p.stderr
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(stdout)
	if p.stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			p.Process.Kill()
			p.Wait()
		}
	})
	return p
}

// line reads a line that the command writes.
func (p *process) line(t *testing.T) string {
	t.Helper()
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		text, _ := p.stderr.look()
		t.Fatalf("reading what the command writes: %v\n%s", err, text)
	}
	return strings.TrimSpace(line)
}

// wantHolding waits until the command runs, and returns its pid.
func (p *process) wantHolding(t *testing.T) int {
	t.Helper()
	line := p.line(t)
	pid, err := strconv.Atoi(strings.TrimPrefix(line, "holding "))
	if err != nil {
		t.Fatalf("the command says %q", line)
	}
	return pid
}

func (p *process) wantExit(t *testing.T, code int, words string) {
	t.Helper()
	io.Copy(io.Discard, p.stdout)
	p.Wait()
	text, _ := p.stderr.look()
	if got := p.ProcessState.ExitCode(); got != code || !strings.Contains(text, words) {
		t.Errorf("exit code %d, want %d and %q on stderr:\n%s", got, code, words, text)
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func needSignals(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals here")
	}
}

func newDirectory(t *testing.T) string { return filepath.Join(t.TempDir(), "queue") }

func TestExitCodeAndToken(t *testing.T) {
	for name, flags := range map[string][]string{
		"file":  {"-file", newDirectory(t)},
		"redis": {"-redis", redistest.Addr(t), "-name", redistest.Name(t)},
		"URL":   {"-redis", "redis://" + redistest.Addr(t), "-name", redistest.Name(t)},
		"try":   {"-file", newDirectory(t), "-try"},
	} {
		t.Run(name, func(t *testing.T) {
			last := int64(0)
			for range 2 {
				p := start(t, flags, "token")
				token, err := strconv.ParseInt(p.line(t), 10, 64)
				if err != nil || token <= last {
					t.Errorf("token %d after %d, %v", token, last, err)
				}
				last = token
				p.wantExit(t, 7, "")
			}
		})
	}
}

func TestLine(t *testing.T) {
	flags := []string{"-file", newDirectory(t)}
	first := start(t, flags, "hold")
	first.wantHolding(t)
	second := start(t, flags, "hold")
	second.stderr.want(t, "2nd in line, ")
	third := start(t, flags, "hold")
	third.stderr.want(t, "3rd in line, ")

	start(t, append(flags, "-try"), "hold").wantExit(t, exitNotAcquired, "somebody holds the lock")
	start(t, append(flags, "-wait", "50ms"), "hold").wantExit(t, exitNotAcquired, "deadline exceeded")

	first.stdin.Close()
	first.wantExit(t, 0, "")
	second.wantHolding(t)
	third.stderr.want(t, "2nd in line, ")
	second.stdin.Close()
	second.wantExit(t, 0, "")
	third.wantHolding(t)
	third.stdin.Close()
	third.wantExit(t, 0, "")
}

func TestSignalsArePassedOn(t *testing.T) {
	needSignals(t)
	flags := []string{"-file", newDirectory(t)}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		p := start(t, flags, "trap")
		p.wantHolding(t)
		p.signal(t, s)
		if line := p.line(t); line != "caught "+s.String() {
			t.Errorf("the command says %q after %v", line, s)
		}
		p.wantExit(t, 9, "")
	}
	p := start(t, flags, "hold")
	p.wantHolding(t)
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, exitSignal+int(syscall.SIGTERM), "")
}

// TestHangupsUnderNohup: a signal that was ignored when the program was started
// is none of its business, and none of the command's.
func TestHangupsUnderNohup(t *testing.T) {
	needSignals(t)
	signal.Ignore(syscall.SIGHUP)
	p := start(t, []string{"-file", newDirectory(t)}, "trap")
	takeHangups()
	p.wantHolding(t)
	p.signal(t, syscall.SIGHUP)
	p.signal(t, syscall.SIGTERM)
	if line := p.line(t); line != "caught terminated" {
		t.Errorf("the command says %q", line)
	}
	p.wantExit(t, 9, "")
}

// TestControlC: the terminal sends SIGINT to the command as well.
func TestControlC(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs the script(1) of util-linux, which makes a terminal")
	}
	testenv.Need(t, "script")
	run := fmt.Sprintf("exec %s -file %s -- %s %s count", os.Args[0], newDirectory(t), os.Args[0], commandArgument)
	c := exec.Command("script", "--quiet", "--return", "--command", run, os.DevNull)
	c.Env = append(os.Environ(), programVariable+"=1", "SHELL=/bin/sh")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() }) // the terminal is gone then, and SIGHUP ends the rest
	var said strings.Builder
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "holding") {
			io.WriteString(stdin, "\x03")
		}
	}
	if err := c.Wait(); err != nil || !strings.Contains(said.String(), "one") {
		t.Errorf("%v; the command should say that one signal came:\n%s", err, &said)
	}
}

func TestSignalEndsTheWait(t *testing.T) {
	needSignals(t)
	directory := newDirectory(t)
	holder := start(t, []string{"-file", directory}, "hold")
	holder.wantHolding(t)
	waiter := start(t, []string{"-file", directory}, "hold")
	waiter.stderr.want(t, "2nd in line")
	waiter.signal(t, os.Interrupt)
	waiter.wantExit(t, exitSignal+int(syscall.SIGINT), "interrupt")

	members, err := queue.Members(t.Context(), filequeue.New(directory))
	if err != nil || len(members) != 1 {
		t.Errorf("%d are in line, want the holder alone: %v", len(members), err)
	}
}

func TestLost(t *testing.T) {
	needSignals(t)
	for what, patient := range map[string]string{"trap": "1h", "stubborn": "1ms"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			server := redistest.StartServer(t)
			p := start(t, []string{"-redis", server.Addr, "-name", "lost", "-lease", "2s", "-grace", patient}, what)
			p.wantHolding(t)
			server.Kill()
			p.wantExit(t, exitFailed, "the lock was lost: the command is ended")
		})
	}
}

// TestKilled: nobody runs without the lock.
func TestKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the system does not end the children of a process that is killed")
	}
	directory := newDirectory(t)
	p := start(t, []string{"-file", directory}, "hold")
	p.wantHolding(t)
	next := start(t, []string{"-file", directory}, "token")
	next.stderr.want(t, "2nd in line")
	p.signal(t, os.Kill)
	io.Copy(io.Discard, p.stdout) // ends when the command does, although its stdin is open
	next.wantExit(t, 7, "")
}

func TestErrors(t *testing.T) {
	directory := newDirectory(t)
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		code  int
		words string
		args  []string
	}{
		{exitUsage, "either -file or -redis", []string{"--", "true"}},
		{exitUsage, "either -file or -redis", []string{"-file", directory, "-redis", "x:1", "-name", "x", "--", "true"}},
		{exitUsage, "which lock", []string{"-redis", "x:1", "--", "true"}},
		{exitUsage, "invalid port", []string{"-redis", "redis://x:y:z", "-name", "x", "--", os.Args[0]}},
		{exitUsage, "named by its directory", []string{"-file", directory, "-name", "x", "--", "true"}},
		{exitUsage, "leave out -wait", []string{"-file", directory, "-try", "-wait", "1s", "--", "true"}},
		{exitUsage, "above 0", []string{"-file", directory, "-wait", "-1s", "--", "true"}},
		{exitUsage, "what to run", []string{"-file", directory}},
		{exitUsage, "-surplus", []string{"-surplus"}},
		{exitFailed, "not a directory", []string{"-file", plain, "--", os.Args[0]}},
		{exitFailed, "connection refused", []string{"-redis", "127.0.0.1:1", "-name", "x", "--", os.Args[0]}},
		{exitNotFound, "no-such-command", []string{"-file", directory, "--", "no-such-command"}},
		{exitNotFound, "no such file", []string{"-file", directory, "--", "./no-such-command"}},
		{exitCannotRun, "permission denied", []string{"-file", directory, "--", plain}},
		{exitCannotRun, "is a directory", []string{"-file", directory, "--", filepath.Dir(plain)}},
		{0, "usage: withlock", []string{"-help"}},
	} {
		if runtime.GOOS == "windows" && test.code != exitUsage {
			continue // other words
		}
		startArgs(t, test.args...).wantExit(t, test.code, test.words)
	}
}

// TestTerminal checks the line that is updated; a pipe shows the other kind.
func TestTerminal(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, terminal: true, began: time.Now(), places: make(chan int), ended: make(chan struct{})}
	go p.run()
	hooks := p.trace()
	hooks.Registered(queue.Ticket{Ahead: 2})
	hooks.Waiting(queue.Ticket{}, 1)
	p.end()
	if want := "\r\x1b[K3rd in line, 0 s\r\x1b[K2nd in line, 0 s\r\x1b[K"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestOrdinal(t *testing.T) {
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 102: "102nd", 112: "112th", 1003: "1003rd"} {
		if got := ordinal(n); got != want {
			t.Errorf("ordinal(%d) is %s, want %s", n, got, want)
		}
	}
}
