package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// The test binary is the program, and an owner to be killed, too.
const (
	programVariable = "FIFOLOCK_TEST_PROGRAM"
	ownerVariable   = "FIFOLOCK_TEST_OWNER" // the directory of its queue
)

func TestMain(m *testing.M) {
	if directory := os.Getenv(ownerVariable); directory != "" {
		ownerMain(directory)
	}
	if os.Getenv(programVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(redistest.Main(m))
}

// ownerMain takes a ticket and keeps it.
func ownerMain(directory string) {
	t, err := filequeue.New(directory).Register(context.Background())
	fmt.Println(t.Number, err)
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), programVariable+"=1")
	return c
}

// execute runs the program to its end.
func execute(t *testing.T, args ...string) (output string, exitCode int) {
	t.Helper()
	c := command(args...)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

func register(t *testing.T, q queue.TicketQueue) queue.Ticket {
	t.Helper()
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { queue.Release(context.Background(), q, ticket) })
	return ticket
}

func wantLines(t *testing.T, output string, exitCode int, words ...[]string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if exitCode != 0 || len(lines) != len(words) {
		t.Fatalf("exit code %d and %d lines, want 0 and %d:\n%s", exitCode, len(lines), len(words), output)
	}
	for i, words := range words {
		for _, w := range words {
			if !strings.Contains(lines[i], w) {
				t.Errorf("line %d does not say %q:\n%s", i+1, w, output)
			}
		}
	}
}

func TestTable(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "queue")
	name := redistest.Name(t)
	for _, test := range []struct {
		name  string
		q     queue.TicketQueue
		flags []string
	}{
		{"file", filequeue.New(directory), []string{"-file", directory}},
		{"redis", redisqueue.New(redistest.Client(t), name), []string{"-redis", redistest.Addr(t), "-name", name}},
	} {
		t.Run(test.name, func(t *testing.T) {
			output, exitCode := execute(t, test.flags...)
			wantLines(t, output, exitCode, []string{"free, nobody is in line"})

			first, second := register(t, test.q), register(t, test.q)
			pid := fmt.Sprint(os.Getpid())
			output, exitCode = execute(t, test.flags...)
			wantLines(t, output, exitCode,
				[]string{"held, and 1 waiting"},
				[]string{"PLACE", "TOKEN", "HOST", "PID", "SINCE", "LAST SEEN"},
				[]string{"1 ", fmt.Sprint(first.Number), pid, "ago", "holds the lock"},
				[]string{"2 ", fmt.Sprint(second.Number), pid, "ago"})
		})
	}
}

func TestJSON(t *testing.T) {
	name := redistest.Name(t)
	q := redisqueue.New(redistest.Client(t), name)
	first, second := register(t, q), register(t, q)
	output, exitCode := execute(t, "-redis", "redis://"+redistest.Addr(t), "-name", name, "-json")
	var l line
	if err := json.Unmarshal([]byte(output), &l); err != nil || exitCode != 0 {
		t.Fatalf("exit code %d, %v:\n%s", exitCode, err, output)
	}
	if l.Queue != name || len(l.Members) != 2 {
		t.Fatalf("the line of %q has %d members, want 2 of %q:\n%s", l.Queue, len(l.Members), name, output)
	}
	for i, want := range []queue.Ticket{first, second} {
		m := l.Members[i]
		if m.Place != i+1 || m.Token != want.Number || m.PID != os.Getpid() || m.Dead || m.Since.IsZero() || m.LastSeen.IsZero() {
			t.Errorf("member %d is %+v", i, m)
		}
	}
}

// TestDeadHolder: it is shown, and still there afterwards.
func TestDeadHolder(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "queue")
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerVariable+"="+directory)
	if _, err := owner.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var number int64
	if _, err := fmt.Fscan(stdout, &number); err != nil {
		t.Error(err)
	}
	owner.Process.Kill()
	owner.Wait()

	before := list(t, directory)
	for range 2 {
		output, exitCode := execute(t, "-file", directory)
		wantLines(t, output, exitCode,
			[]string{"the holder looks dead, and 0 in line after it"},
			[]string{"PLACE"},
			[]string{fmt.Sprint(number), fmt.Sprint(owner.Process.Pid), "looks dead"})
	}
	if after := list(t, directory); after != before {
		t.Errorf("inspect changed the directory from\n%sto\n%s", before, after)
	}
}

// list says what is in a directory.
func list(t *testing.T, directory string) string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, e := range entries {
		fmt.Fprintln(&out, e.Name())
	}
	return out.String()
}

func TestCreatesNothing(t *testing.T) {
	directory := t.TempDir()
	for _, d := range []string{directory, filepath.Join(directory, "missing")} {
		output, exitCode := execute(t, "-file", d)
		wantLines(t, output, exitCode, []string{"nobody is in line"})
	}
	if found := list(t, directory); found != "" {
		t.Errorf("inspect created %s", found)
	}
	name := redistest.Name(t)
	output, exitCode := execute(t, "-redis", redistest.Addr(t), "-name", name)
	wantLines(t, output, exitCode, []string{"nobody is in line"})
	if keys := redistest.Keys(t, redistest.Client(t), name); len(keys) > 0 {
		t.Errorf("inspect created %v", keys)
	}
}

func TestWatch(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals here")
	}
	directory := filepath.Join(t.TempDir(), "queue")
	q := filequeue.New(directory)
	ticket := register(t, q)
	c := command("-file", directory, "-watch", "1ms", "-json")
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(stdout)
	wantMembers := func(want int) {
		t.Helper()
		for {
			var l line
			if err := lines.Decode(&l); err != nil {
				t.Fatal(err)
			}
			if len(l.Members) == want {
				return
			}
		}
	}
	wantMembers(1)
	if err := queue.Release(t.Context(), q, ticket); err != nil {
		t.Error(err)
	}
	wantMembers(0)
	register(t, q)
	wantMembers(1)
	c.Process.Signal(os.Interrupt)
	io.Copy(io.Discard, stdout)
	if err := c.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("ended with %v, and said %s", err, &stderr)
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		words string
		args  []string
	}{
		{"either -file or -redis", nil},
		{"either -file or -redis", []string{"-file", "x", "-redis", "x:1", "-name", "x"}},
		{"which lock", []string{"-redis", "x:1"}},
		{"named by its directory", []string{"-file", "x", "-name", "x"}},
		{"above 0", []string{"-file", "x", "-watch", "-1s"}},
		{"above 0", []string{"-file", "x", "-watch", "1s", "-for", "-1s"}},
		{"-for is for -watch", []string{"-file", "x", "-for", "1s"}},
		{"surplus", []string{"-file", "x", "surplus"}},
		{"-surplus", []string{"-surplus"}},
		{"connection refused", []string{"-redis", "127.0.0.1:1", "-name", "x"}},
		{"invalid", []string{"-redis", "redis://x:y:z", "-name", "x"}},
	} {
		if runtime.GOOS == "windows" && test.words == "connection refused" {
			continue // other words
		}
		output, exitCode := execute(t, test.args...)
		if exitCode != 1 || !strings.Contains(output, test.words) {
			t.Errorf("inspect %v: exit code %d, want 1 and %q:\n%s", test.args, exitCode, test.words, output)
		}
	}
}

func TestAgo(t *testing.T) {
	now := time.Now()
	for want, then := range map[string]time.Time{
		"":         {},
		"1.5s ago": now.Add(-1480 * time.Millisecond),
		"0s ago":   now.Add(time.Minute), // by another clock
	} {
		if got := ago(now, then); got != want {
			t.Errorf("ago is %q, want %q", got, want)
		}
	}
}
