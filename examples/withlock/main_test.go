package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// commandArgument makes the test binary the command that runs under the lock.
const commandArgument = "command-of-test"

// stillNone is how long a command waits before it believes that no second
// signal comes.
const stillNone = 100 * time.Millisecond

// stillThere is how long a process is watched that must not end yet.
const stillThere = 100 * time.Millisecond

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == commandArgument {
		commandMain(os.Args[2])
	}
	programtest.Main(m, main, func(m *testing.M) int {
		takeSignals()
		return redistest.Main(m)
	})
}

// takeSignals undoes what nohup, or a shell that starts them in the background, does to
// the tests: children ignore the signals that their parent ignores, but not those that it
// handles.
func takeSignals() {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGQUIT, syscall.SIGHUP} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
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
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, os.Interrupt)
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
	*programtest.Process
	t    *testing.T
	read int // of stdout
}

// start runs: withlock FLAGS -- TEST-BINARY command-of-test WHAT.
func start(t *testing.T, flags []string, what string) *process {
	t.Helper()
	return startArgs(t, append(flags, "--", os.Args[0], commandArgument, what)...)
}

func startArgs(t *testing.T, args ...string) *process {
	t.Helper()
	return &process{Process: programtest.Start(t, args...), t: t}
}

// line reads a line that the command writes.
func (p *process) line() (line string) {
	p.t.Helper()
	p.Stdout.Await(p.t, "a line of the command", func(text string) bool {
		var whole bool
		line, _, whole = strings.Cut(text[p.read:], "\n")
		return whole
	})
	p.read += len(line) + 1
	return line
}

// wantHolding waits until the command runs.
func (p *process) wantHolding() {
	p.t.Helper()
	if line := p.line(); !strings.HasPrefix(line, "holding ") {
		p.t.Fatalf("the command says %q", line)
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.Process.Process.Signal(s); err != nil {
		p.t.Fatal(err)
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
				token, err := strconv.ParseInt(p.line(), 10, 64)
				if err != nil || token <= last {
					t.Errorf("token %d after %d, %v", token, last, err)
				}
				last = token
				p.WantExit(7, "")
			}
		})
	}
}

func TestLine(t *testing.T) {
	flags := []string{"-file", newDirectory(t)}
	first := start(t, flags, "hold")
	first.wantHolding()
	second := start(t, flags, "hold")
	second.Stderr.Want(t, "2nd in line, ")
	third := start(t, flags, "hold")
	third.Stderr.Want(t, "3rd in line, ")

	start(t, append(flags, "-try"), "hold").WantExit(exitBusy, lock.ErrBusy.Error()+"; held by ")
	wantBusy(t, flags, "held by "+filepath.Base(os.Args[0])+" (")

	first.Stdin.Close()
	first.WantExit(0, "")
	second.wantHolding()
	third.Stderr.Want(t, "2nd in line, ")
	second.Stdin.Close()
	second.WantExit(0, "")
	third.wantHolding()
	third.Stdin.Close()
	third.WantExit(0, "")
}

// wantBusy checks that a wait ends with what is held, and how. On a busy machine the first
// look, and the one at the holder, may come too late: the next wait is longer.
func wantBusy(t *testing.T, flags []string, words string) {
	t.Helper()
	for wait := time.Second; ; wait *= 4 {
		p := start(t, append(flags, "-wait", wait.String()), "hold")
		code := p.Wait()
		if code == exitBusy && strings.Contains(p.Stderr.String(), words) {
			return
		}
		if wait > time.Minute || code != exitBusy && code != exitUnavailable {
			t.Fatalf("exit code %d after %v, want %d and %q on stderr:\n%s", code, wait, exitBusy, words, p.Stderr)
		}
	}
}

// TestAway: a server that does not answer is not taken for a lock that is held.
func TestAway(t *testing.T) {
	testenv.NeedSignals(t)
	server := redistest.StartServer(t)
	flags := []string{"-redis", server.Addr, "-name", "away"}
	holder := start(t, flags, "hold")
	holder.wantHolding()
	wantBusy(t, flags, "held by ")
	server.Pause()
	start(t, append(flags, "-wait", "300ms"), "hold").WantExit(exitUnavailable, "deadline exceeded")
	server.Resume()
	holder.Stdin.Close()
	holder.WantExit(0, "")
}

// TestMax: so many run at a time, each with a token of its own, in the order of
// arrival.
func TestMax(t *testing.T) {
	for name, flags := range map[string][]string{
		"file":  {"-file", newDirectory(t), "-max", "2"},
		"redis": {"-redis", redistest.Addr(t), "-name", redistest.Name(t), "-max", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := start(t, flags, "hold"), start(t, flags, "hold")
			first.wantHolding()
			second.wantHolding()
			start(t, append(flags, "-try"), "hold").WantExit(exitBusy, lock.ErrBusy.Error()+"; held by ")
			third := start(t, flags, "hold")
			third.Stderr.Want(t, "in line, ")
			second.Stdin.Close()
			second.WantExit(0, "")
			third.wantHolding()

			// The limit can be changed while it is in use, but not the kind.
			fourth := start(t, append(flags[:len(flags)-1:len(flags)-1], "3"), "token")
			fourth.WantExit(7, "")
			start(t, flags[:len(flags)-2], "hold").WantExit(exitUnavailable, "Mutex")

			for _, p := range []*process{first, third} {
				p.Stdin.Close()
				p.WantExit(0, "")
			}
		})
	}
}

// TestLabel: others see what runs, or what they are told.
func TestLabel(t *testing.T) {
	directory := newDirectory(t)
	for label, flags := range map[string][]string{filepath.Base(os.Args[0]): nil, "deploy 42": {"-label", "deploy 42"}} {
		p := start(t, append(flags, "-file", directory), "hold")
		p.wantHolding()
		members, err := queue.Members(t.Context(), filequeue.New(directory))
		if err != nil || len(members) != 1 || members[0].Label != label {
			t.Errorf("%v, %v, want the label %q", members, err, label)
		}
		p.Stdin.Close()
		p.WantExit(0, "")
	}
}

func TestSignalsArePassedOn(t *testing.T) {
	testenv.NeedSignals(t)
	flags := []string{"-file", newDirectory(t)}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP} {
		p := start(t, flags, "trap")
		p.wantHolding()
		p.signal(s)
		if line := p.line(); line != "caught "+s.String() {
			t.Errorf("the command says %q after %v", line, s)
		}
		p.WantExit(9, "")
	}
	p := start(t, flags, "hold")
	p.wantHolding()
	p.signal(syscall.SIGTERM)
	p.WantExit(exitSignal+int(syscall.SIGTERM), "")
}

// TestSignalBeforeTheCommand: a signal that comes when the lock is held and there is no
// command yet ends withlock, though it may come from a terminal, which tells a command
// itself.
func TestSignalBeforeTheCommand(t *testing.T) {
	testenv.NeedSignals(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP} {
		m := lock.New(filequeue.New(newDirectory(t)))
		if err := m.Lock(t.Context()); err != nil {
			t.Fatal(err)
		}
		signals := make(chan os.Signal, 1)
		signals <- s
		started := filepath.Join(t.TempDir(), "started")
		code, err := execute(mutex{m}, settings{command: []string{"touch", started}}, signals)
		if want := exitSignal + int(s); code != want || err == nil {
			t.Errorf("%v before the command: execute returned %d, %v; want %d", s, code, err, want)
		}
		if _, err := os.Stat(started); err == nil {
			t.Errorf("%v before the command: it was started", s)
		}
		if err := m.Unlock(); err != nil {
			t.Error(err)
		}
	}
}

// lostHold is a lock that was lost; lost is nil if only its release finds that out.
type lostHold struct{ lost chan struct{} }

func (lostHold) Token() int64            { return 1 }
func (h lostHold) Lost() <-chan struct{} { return h.lost }
func (lostHold) Release() error          { return lock.ErrLost }

// TestLostWithoutCommand: withlock says why no command has run, and not that another may have
// run beside it.
func TestLostWithoutCommand(t *testing.T) {
	noProgram := filepath.Join(t.TempDir(), "no-program")
	if err := os.WriteFile(noProgram, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	started := filepath.Join(t.TempDir(), "started")
	known := make(chan struct{})
	close(known)
	for _, test := range []struct {
		hold    lostHold
		command []string
		words   string
	}{
		{lostHold{known}, []string{"touch", started}, "the command was not started"},
		{lostHold{}, []string{noProgram}, noProgram},
	} {
		code, err := execute(test.hold, settings{command: test.command}, nil)
		code, err = release(test.hold, code, err)
		if code != exitLost || !errors.Is(err, lock.ErrLost) || !strings.Contains(err.Error(), test.words) || strings.Contains(err.Error(), "beside") {
			t.Errorf("%v: exit code %d, %v, want %d and %q", test.command, code, err, exitLost, test.words)
		}
	}
	if _, err := os.Stat(started); err == nil {
		t.Error("a command was started without the lock")
	}
}

// TestHangupsUnderNohup: a signal that was ignored when the program was started
// is none of its business, and none of the command's.
func TestHangupsUnderNohup(t *testing.T) {
	testenv.NeedSignals(t)
	signal.Ignore(syscall.SIGHUP)
	p := start(t, []string{"-file", newDirectory(t)}, "trap")
	takeSignals()
	p.wantHolding()
	p.signal(syscall.SIGHUP)
	p.signal(syscall.SIGTERM)
	if line := p.line(); line != "caught terminated" {
		t.Errorf("the command says %q", line)
	}
	p.WantExit(9, "")
}

// TestQuiet: nothing is written where nothing has failed.
func TestQuiet(t *testing.T) {
	directory := newDirectory(t)
	holder := start(t, []string{"-file", directory}, "hold")
	holder.wantHolding()
	quiet := start(t, []string{"-file", directory, "-quiet"}, "hold")
	awaitMembers(t, directory, 2)
	holder.Stdin.Close()
	holder.WantExit(0, "")
	quiet.wantHolding()
	quiet.Stdin.Close()
	quiet.WantExit(0, "")
	if said := quiet.Stderr.String(); said != "" {
		t.Errorf("it said %q", said)
	}
}

// onTerminal starts a line of a shell on a terminal of its own.
func onTerminal(t *testing.T, line string) *programtest.Process {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs the script(1) of util-linux, which makes a terminal: run on Linux")
	}
	testenv.Need(t, "script")
	script, err := exec.LookPath("script")
	if err != nil {
		t.Fatal(err)
	}
	c := programtest.Command(t)
	c.Path, c.Args = script, []string{"script", "--quiet", "--return", "--command", line, os.DevNull}
	c.Env = append(c.Env, "SHELL=/bin/sh")
	c.Start()
	return c
}

// TestProgressOnATerminal: in the background withlock does not write over what is typed in the
// foreground.
func TestProgressOnATerminal(t *testing.T) {
	const place = "2nd in line"
	for _, background := range []bool{false, true} {
		t.Run(fmt.Sprintf("background=%v", background), func(t *testing.T) {
			directory := newDirectory(t)
			holder := start(t, []string{"-file", directory}, "hold")
			holder.wantHolding()
			line := fmt.Sprintf("%s -file %s -- echo it has run", os.Args[0], directory)
			if background {
				line = "set -m; " + line + " & wait"
			}
			c := onTerminal(t, line)
			awaitMembers(t, directory, 2)
			if !background {
				c.Stdout.Want(t, place)
			}
			holder.Stdin.Close()
			holder.WantExit(0, "")
			c.Stdout.Want(t, "it has run")
			c.WantExit(0, "")
			if said := c.Stdout.String(); background && (strings.Contains(said, place) || strings.Contains(said, clearLine)) {
				t.Errorf("it has written over the foreground: %q", said)
			}
		})
	}
}

// TestControlC: the command gets one SIGINT: from the terminal, or from withlock where it
// has a process group of its own.
func TestControlC(t *testing.T) {
	// timeout(1) has a group of its own, too, but passes a signal on twice.
	for name, before := range map[string]string{"foreground": "", "own group": "setsid "} {
		t.Run(name, func(t *testing.T) {
			c := onTerminal(t, fmt.Sprintf("exec %s -file %s -- %s%s %s count", os.Args[0], newDirectory(t), before, os.Args[0], commandArgument))
			c.Stdout.Want(t, "holding")
			io.WriteString(c.Stdin, "\x03")
			c.WantExit(0, "")
			if said := c.Stdout.String(); !strings.Contains(said, "one") {
				t.Errorf("the command should say that one signal came:\n%s", said)
			}
		})
	}
}

func TestSignalEndsTheWait(t *testing.T) {
	testenv.NeedSignals(t)
	directory := newDirectory(t)
	holder := start(t, []string{"-file", directory}, "hold")
	holder.wantHolding()
	waiter := start(t, []string{"-file", directory}, "hold")
	waiter.Stderr.Want(t, "2nd in line")
	sent := time.Now()
	waiter.signal(os.Interrupt)
	waiter.WantExit(exitSignal+int(syscall.SIGINT), "interrupt")
	took := time.Since(sent)

	members, err := queue.Members(t.Context(), filequeue.New(directory))
	if len(members) == 2 && members[1].Dead && took > cli.LeaveTimeout {
		members = members[:1] // a busy machine: the process has ended first
	}
	if err != nil || len(members) != 1 {
		t.Errorf("after %v %v are in line, want the holder alone: %v", took, members, err)
	}
}

// TestTicketLeavesFirst: the ticket of a wait that has ended is out of the line before the
// process ends, also where that takes longer than the lock waits for it. A server that does
// not know the script takes two round trips, the first of which is as long as it is made here.
// The same of a ticket whose registration was not answered yet when the signal came.
func TestTicketLeavesFirst(t *testing.T) {
	testenv.NeedSignals(t)
	const registered = "*5\r\n$2\r\nok" // how the answer to a registration behind others begins
	for name, test := range map[string]struct {
		kind    []string
		delayed string
	}{
		"mutex":                 {},
		"semaphore":             {kind: []string{"-max", "1"}},
		"mutex-registering":     {delayed: registered},
		"semaphore-registering": {kind: []string{"-max", "1"}, delayed: registered},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.StartServer(t)
			network := redistest.NewProxy(t, server.Addr)
			client := server.Client()
			inLine := func() int64 { return client.ZCard(t.Context(), "{"+name+"}:queue").Val() }
			flags := append(test.kind, "-name", name, "-lease", "1h", "-redis")
			holder := start(t, append(flags, server.Addr), "hold")
			holder.wantHolding()
			arrive := func() {}
			if test.delayed != "" {
				_, arrive = network.DelayReplies(test.delayed)
			}
			waiter := start(t, append(flags, network.Addr), "hold")
			if test.delayed == "" {
				waiter.Stderr.Want(t, "2nd in line")
			}
			for inLine() != 2 {
				select {
				case <-waiter.Ended():
					t.Fatalf("it has ended: %s", waiter.Stderr)
				case <-time.After(time.Millisecond):
				}
			}
			if err := client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			reached, answer := network.DelayReplies("NOSCRIPT")
			sent := time.Now()
			waiter.signal(syscall.SIGTERM)
			if test.delayed == "" {
				<-reached
			}
			select {
			case <-waiter.Ended():
			case <-time.After(stillThere):
			}
			arrive()
			answer()
			waiter.WantExit(exitSignal+int(syscall.SIGTERM), "terminated")

			if took := time.Since(sent); took > cli.LeaveTimeout {
				t.Logf("a busy machine: it took %v", took) // withlock may have waited as long as it does
			} else if left := inLine(); left != 1 {
				t.Errorf("%d are in line, want the holder alone", left)
			}
			holder.Stdin.Close()
			holder.WantExit(0, "")
		})
	}
}

// awaitMembers waits until so many are in line.
func awaitMembers(t *testing.T, directory string, want int) {
	t.Helper()
	q := filequeue.New(directory)
	for {
		members, err := q.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(members) == want {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestLost(t *testing.T) {
	testenv.NeedSignals(t)
	for what, patient := range map[string]string{"trap": "1h", "stubborn": "1ms"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			server := redistest.StartServer(t)
			p := start(t, []string{"-redis", server.Addr, "-name", "lost", "-lease", "2s", "-grace", patient}, what)
			p.wantHolding()
			server.Kill()
			p.WantExit(exitLost, "the lock was lost: the command is ended")
		})
	}
}

// TestKilled: no command runs on without the lock.
func TestKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a system that ends the children of a process that is killed: run on Linux")
	}
	directory := newDirectory(t)
	p := start(t, []string{"-file", directory}, "hold")
	p.wantHolding()
	next := start(t, []string{"-file", directory}, "token")
	next.Stderr.Want(t, "2nd in line")
	p.signal(os.Kill)
	p.Wait() // returns when the command has ended too, although its stdin is open
	next.WantExit(7, "")
}

func TestErrors(t *testing.T) {
	directory := newDirectory(t)
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refusals := map[int][]programtest.Refusal{}
	for _, test := range []struct {
		code  int
		words string
		args  []string
	}{
		{exitUsage, "either -file or -redis", []string{"--", "true"}},
		{exitUsage, "withlock -help lists the flags", []string{"--", "true"}},
		{exitUsage, "begins with ~", []string{"-file=~/x", "--", "true"}},
		{exitUsage, "without { and }", []string{"-redis", "x:1", "-name", "{a}", "--", "true"}},
		{exitUsage, "at least 10ms", []string{"-redis", "x:1", "-name", "x", "-lease", "1ms", "--", "true"}},
		{exitUsage, "not with both", []string{"-file", directory, "-redis", "x:1", "-name", "x", "--", "true"}},
		{exitUsage, "which lock", []string{"-redis", "x:1", "--", "true"}},
		{exitUsage, "percent-encode", []string{"-redis", "redis://x:y:z", "-name", "x", "--", os.Args[0]}},
		{exitUsage, "named by the directory", []string{"-file", directory, "-name", "x", "--", "true"}},
		{exitUsage, "leave out -wait", []string{"-file", directory, "-try", "-wait", "1s", "--", "true"}},
		{exitUsage, "above 0", []string{"-file", directory, "-wait", "-1s", "--", "true"}},
		{exitUsage, "-lease is for -redis", []string{"-file", directory, "-lease", "1s", "--", "true"}},
		{exitUsage, "from 1 to", []string{"-file", directory, "-max", "0", "--", "true"}},
		{exitUsage, "printable", []string{"-file", directory, "-label", "a\nb", "--", "true"}},
		{exitUsage, "printable", []string{"-file", directory, "-label", strings.Repeat("x", 129), "--", "true"}},
		{exitUsage, "what to run", []string{"-file", directory}},
		{exitUsage, "-surplus", []string{"-surplus"}},
		{exitUnavailable, "not a directory", []string{"-file", plain, "--", os.Args[0]}},
		{exitUnavailable, "connection refused", []string{"-redis", "127.0.0.1:1", "-name", "x", "--", os.Args[0]}},
		{exitUnavailable, "connection refused", []string{"-redis", "127.0.0.1:1", "-name", "x", "-try", "--", os.Args[0]}},
		{exitUnavailable, "before the queue answered", []string{"-redis", "127.0.0.1:1", "-name", "x", "-wait", "100ms", "--", os.Args[0]}},
		{exitNotFound, "no-such-command", []string{"-file", directory, "--", "no-such-command"}},
		{exitNotFound, "no such file", []string{"-file", directory, "--", "./no-such-command"}},
		{exitCannotRun, "permission denied", []string{"-file", directory, "--", plain}},
		{exitCannotRun, "is a directory", []string{"-file", directory, "--", filepath.Dir(plain)}},
	} {
		if runtime.GOOS == "windows" && test.code != exitUsage {
			continue // other words
		}
		refusals[test.code] = append(refusals[test.code], programtest.Refusal{Words: test.words, Args: test.args})
	}
	for code, refusals := range refusals {
		programtest.WantRefused(t, code, refusals...)
	}
	if help := programtest.Run(t, "-help"); !strings.HasPrefix(help, "usage: withlock ") {
		t.Errorf("-help says %s", help)
	}
}

// TestCanBeInstalled: "go install ...@latest" refuses a module with replace or
// exclude directives.
func TestCanBeInstalled(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json", filepath.Join("..", "..", "go.mod")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var module struct{ Replace, Exclude []any }
	if err := json.Unmarshal(out, &module); err != nil || len(module.Replace)+len(module.Exclude) > 0 {
		t.Errorf("%v, %v", module, err)
	}
}

// TestTerminal checks the line that is updated; a pipe shows the other kind.
func TestTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := &progress{out: &out, terminal: true, began: time.Now(), places: make(chan int, 1), ended: make(chan struct{})}
		go p.run()
		hooks := p.trace()
		hooks.Registered(queue.Ticket{Ahead: 2})
		synctest.Wait()
		hooks.Waiting(queue.Ticket{}, 1)
		p.end()
		if want := "\r\x1b[K3rd in line, 0 s\r\x1b[K2nd in line, 0 s\r\x1b[K"; out.String() != want {
			t.Errorf("printed %q, want %q", out.String(), want)
		}
	})
}

// stopped is a terminal after Ctrl-S, until it is resumed.
type stopped chan struct{}

func (s stopped) Write(b []byte) (int, error) {
	<-s
	return len(b), nil
}

// TestStoppedTerminal: the wait for the lock goes on, and ends, though nothing can be
// shown.
func TestStoppedTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := make(stopped)
		p := &progress{out: out, terminal: true, began: time.Now(), places: make(chan int, 1), ended: make(chan struct{})}
		go p.run()
		hooks := p.trace()
		hooks.Registered(queue.Ticket{Ahead: 9})
		for ahead := range 9 {
			synctest.Wait()
			hooks.Waiting(queue.Ticket{}, 9-ahead)
		}
		p.end()
		close(out)
	})
}

func TestOrdinal(t *testing.T) {
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 102: "102nd", 112: "112th", 1003: "1003rd"} {
		if got := ordinal(n); got != want {
			t.Errorf("ordinal(%d) is %s, want %s", n, got, want)
		}
	}
}

// rude is a queue with storage that another program has written to.
type rude struct{ queue.TicketQueue }

func (rude) String() string { return "queue" }

func (rude) Members(context.Context) ([]queue.Member, error) {
	return []queue.Member{{Label: "\x1b[31mred", PID: 7, Host: "a\nb", Owners: 1}}, nil
}

// TestBusyIsPrintable: what others have written is not obeyed by the terminal.
func TestBusyIsPrintable(t *testing.T) {
	const want = "held by \ufffd[31mred (pid 7 on a\ufffdb)"
	if err := busy(rude{}); !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%q, want %q at its end", err, want)
	}
}
