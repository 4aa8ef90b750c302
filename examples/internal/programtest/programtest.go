// Package programtest runs an example in its tests. The test binary is the
// program, too, so that what is run and killed is a process as its user has it.
package programtest

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// variable makes a test binary the program.
const variable = "FIFOLOCK_TEST_PROGRAM"

// Main is what TestMain calls: with the program's main function, and what runs the
// tests. With -short no program is run.
func Main(m *testing.M, main func(), test func(*testing.M) int) {
	if os.Getenv(variable) != "" {
		main()
		os.Exit(0)
	}
	flag.Parse()
	if testing.Short() {
		fmt.Println("-short: no program was run")
		_ = flag.Set("test.run", "^$") // go test caches no result without m.Run
	}
	os.Exit(test(m))
}

// Process is the program at work.
type Process struct {
	*exec.Cmd
	Stdin  io.WriteCloser
	Stdout *Output
	Stderr *Output
	t      *testing.T

	temporary string        // where it makes its temporary files
	ended     chan struct{} // closed when it has ended and all that it wrote has been read
}

// Command returns the program, which is not started yet. At the end of the test it
// is killed if it still runs.
func Command(t *testing.T, args ...string) *Process {
	t.Helper()
	ended := make(chan struct{})
	p := &Process{Cmd: exec.Command(os.Args[0], args...), Stdout: &Output{ended: ended}, Stderr: &Output{ended: ended}, t: t, temporary: t.TempDir(), ended: ended}
	p.Env = append(os.Environ(), variable+"=1", "TMPDIR="+p.temporary, "TMP="+p.temporary)
	p.Cmd.Stdout, p.Cmd.Stderr = p.Stdout, p.Stderr
	var err error
	if p.Stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return p
}

// Start starts the program.
func Start(t *testing.T, args ...string) *Process {
	t.Helper()
	p := Command(t, args...)
	p.Start()
	return p
}

// Start starts the program.
func (p *Process) Start() {
	p.t.Helper()
	if err := p.Cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.Cmd.Wait()
	}()
	p.t.Cleanup(func() {
		p.Process.Kill() // if it has ended already, so be it
		<-p.ended
	})
}

// Wait waits for the end of the program, and of all that writes to its outputs. It
// returns the exit code, -1 after a signal, and checks that no temporary file was
// left behind, but by a signal.
func (p *Process) Wait() (code int) {
	p.t.Helper()
	if p.Process == nil {
		p.t.Fatal("the program was not started")
	}
	<-p.ended
	code = p.ProcessState.ExitCode()
	entries, err := os.ReadDir(p.temporary)
	if code >= 0 && (err != nil || len(entries) > 0) {
		p.t.Errorf("left behind: %v, %v", entries, err)
	}
	return code
}

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Temporary is the directory in which the program makes its temporary files.
func (p *Process) Temporary() string { return p.temporary }

// WantExit waits for the end, and checks the exit code and that the words are on
// stderr.
func (p *Process) WantExit(code int, words string) {
	p.t.Helper()
	if got := p.Wait(); got != code || !strings.Contains(p.Stderr.String(), words) {
		p.t.Errorf("%q ended with exit code %d, want %d and %q on stderr:\n%s%s",
			p.Args[1:], got, code, words, p.Stdout, p.Stderr)
	}
}

// Run runs the program to its end, and returns what it writes to stdout. It must
// end with exit code 0.
func Run(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	p := Start(t, args...)
	p.Stdin.Close()
	p.WantExit(0, "")
	return p.Stdout.String()
}

// Refusal is how a program does not do what it was asked for.
type Refusal struct {
	Words string // in what it says
	Args  []string
}

// WantRefused checks that the program ends with that exit code, and says why.
func WantRefused(t *testing.T, code int, refusals ...Refusal) {
	t.Helper()
	processes := make([]*Process, len(refusals)) // at once, since some try for a while
	for i, r := range refusals {
		processes[i] = Start(t, r.Args...)
		processes[i].Stdin.Close()
	}
	for i, r := range refusals {
		processes[i].WantExit(code, r.Words)
	}
}

// Output collects what is written, and can be waited for.
type Output struct {
	mu    sync.Mutex
	text  bytes.Buffer  // guarded by mu
	grown chan struct{} // closed when there is more; guarded by mu
	ended chan struct{} // closed when there will be no more
}

func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grown != nil {
		close(o.grown)
		o.grown = nil
	}
	return o.text.Write(b)
}

func (o *Output) String() string {
	text, _ := o.look()
	return text
}

func (o *Output) look() (text string, grown <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.grown == nil {
		o.grown = make(chan struct{})
	}
	return o.text.String(), o.grown
}

// Want waits until that has been written.
func (o *Output) Want(t *testing.T, words string) {
	t.Helper()
	o.Await(t, words, func(text string) bool { return strings.Contains(text, words) })
}

// Await waits until enough has been written; what says of what. It fails the test if the
// program ends before.
func (o *Output) Await(t *testing.T, what string, enough func(text string) bool) {
	t.Helper()
	for ended := false; ; {
		text, grown := o.look()
		if enough(text) {
			return
		}
		if ended {
			t.Fatalf("the program has ended, and %q was not written, only:\n%s", what, text)
		}
		select {
		case <-grown:
		case <-o.ended:
			ended = true // what it wrote is looked at once more
		case <-t.Context().Done():
			t.Fatalf("%q was not written, only:\n%s", what, text)
		}
	}
}
