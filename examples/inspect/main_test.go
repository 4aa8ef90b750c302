package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// ownerVariable makes the test binary an owner to be killed; its value is the
// directory of its queue, or the address of the server and the name, with a space between.
const ownerVariable = "FIFOLOCK_TEST_OWNER"

func TestMain(m *testing.M) {
	if place := os.Getenv(ownerVariable); place != "" {
		ownerMain(place)
	}
	programtest.Main(m, main, redistest.Main)
}

// ownerMain takes a ticket and keeps it.
func ownerMain(place string) {
	var q queue.TicketQueue = filequeue.New(place)
	if addr, name, ok := strings.Cut(place, " "); ok {
		q = redisqueue.New(redis.NewClient(&redis.Options{Addr: addr}), name, redisqueue.WithLease(time.Hour), redisqueue.WithCrashDetection(time.Minute))
	}
	t, err := q.Register(context.Background())
	fmt.Println(t.Number, err)
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func mustRegister(t *testing.T, q queue.TicketQueue) queue.Ticket {
	t.Helper()
	ticket, err := q.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { queue.Release(context.Background(), q, ticket) })
	return ticket
}

// wantLines checks what the program says, line by line.
func wantLines(t *testing.T, args []string, words ...[]string) {
	t.Helper()
	output := programtest.Run(t, args...)
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if len(lines) != len(words) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(words), output)
	}
	for i, words := range words {
		for _, w := range words {
			if !strings.Contains(lines[i], w) {
				t.Errorf("line %d does not say %q:\n%s", i+1, w, output)
			}
		}
	}
}

// places are a queue in a directory and one in Redis, with that lease, both with a
// label, and how they are named to the program.
func places(t *testing.T, lease time.Duration) map[string]place {
	directory := filepath.Join(t.TempDir(), "queue")
	name := redistest.Name(t)
	return map[string]place{
		"file": {filequeue.New(directory, filequeue.WithLabel("deploy 42")), []string{"-file", directory}, 10 * time.Second},
		"redis": {redisqueue.New(redistest.Client(t), name, redisqueue.WithLabel("deploy 42"), redisqueue.WithLease(lease)),
			[]string{"-redis", redistest.Addr(t), "-name", name}, lease / 3},
	}
}

type place struct {
	q     queue.TicketQueue
	flags []string
	hears time.Duration // after this time a holder that was evicted hears of it
}

func TestTable(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range places(t, time.Minute) {
		host := map[string]string{"redis": host}[name] // a directory is on one machine
		t.Run(name, func(t *testing.T) {
			wantLines(t, p.flags, []string{"free, none in line"})

			first, second := mustRegister(t, p.q), mustRegister(t, p.q)
			pid := fmt.Sprint(os.Getpid())
			wantLines(t, p.flags,
				[]string{"held, and 1 waiting"},
				[]string{"PLACE", "TOKEN", "HOST", "PID", "LABEL", "SINCE", "LAST SEEN", "LEASE"},
				[]string{"1 ", fmt.Sprint(first.Number), host, pid, "deploy 42", "ago", "holds the lock"},
				[]string{"2 ", fmt.Sprint(second.Number), host, pid, "deploy 42", "ago"})
		})
	}
}

// TestOwners: a ticket of a semaphore holds if it does so by its own n.
func TestOwners(t *testing.T) {
	for name, p := range places(t, time.Minute) {
		t.Run(name, func(t *testing.T) {
			shared, err := queue.Share(p.q, 2)
			if err != nil {
				t.Fatal(err)
			}
			wider, err := queue.Share(p.q, 4)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				mustRegister(t, shared)
			}
			mustRegister(t, wider)
			wantLines(t, p.flags,
				[]string{"a semaphore, held by 3, and 1 waiting"},
				[]string{"PLACE"},
				[]string{"1 ", "holds one of 2"},
				[]string{"2 ", "holds one of 2"},
				[]string{"3 ", "waits for one of 2"},
				[]string{"4 ", "holds one of 4"})
		})
	}
}

func TestJSON(t *testing.T) {
	name := redistest.Name(t)
	redistest.NeedReal(t)
	q := redisqueue.New(redistest.Client(t), name, redisqueue.WithLabel("deploy 42"), redisqueue.WithCrashDetection(time.Second))
	first, second := mustRegister(t, q), mustRegister(t, q)
	output := programtest.Run(t, "-redis", "redis://"+redistest.Addr(t), "-name", name, "-json")
	var l line
	if err := json.Unmarshal([]byte(output), &l); err != nil {
		t.Fatalf("%v:\n%s", err, output)
	}
	if !strings.Contains(output, `"lease_seconds":30,"crash_detection_seconds":1}`) {
		t.Errorf("the times are not there: %s", output)
	}
	if l.Queue != name || len(l.Members) != 2 {
		t.Fatalf("the line of %q has %d members, want 2 of %q:\n%s", l.Queue, len(l.Members), name, output)
	}
	for i, want := range []queue.Ticket{first, second} {
		m := l.Members[i]
		if m.Place != i+1 || m.Token != want.Number || m.Owns != (i == 0) || m.PID != os.Getpid() || m.Label != "deploy 42" ||
			m.Dead || m.Since.IsZero() || m.LastSeen.IsZero() {
			t.Errorf("member %d is %+v", i, m)
		}
	}
}

// TestDeadHolder: it is shown, and still there afterwards.
func TestDeadHolder(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "queue")
	owner, number := startOwner(t, directory)
	owner.Process.Kill()
	owner.Wait()

	before := list(t, directory)
	for range 2 {
		wantLines(t, []string{"-file", directory},
			[]string{"the holder looks dead, and 0 in line after it"},
			[]string{"PLACE"},
			[]string{fmt.Sprint(number), fmt.Sprint(owner.Process.Pid), "looks dead"})
	}
	if after := list(t, directory); after != before {
		t.Errorf("inspect changed the directory from\n%sto\n%s", before, after)
	}
}

// startOwner starts a process that takes a ticket and keeps it.
func startOwner(t *testing.T, place string) (owner *exec.Cmd, number int64) {
	t.Helper()
	owner = exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerVariable+"="+place)
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
	if _, err := fmt.Fscan(stdout, &number); err != nil {
		t.Error(err)
	}
	return owner, number
}

// TestGoneHolder: with crash detection it is shown that the holder's process has ended,
// and since when, before it is evicted.
func TestGoneHolder(t *testing.T) {
	redistest.NeedReal(t)
	name := redistest.Name(t)
	flags := []string{"-redis", redistest.Addr(t), "-name", name}
	owner, number := startOwner(t, redistest.Addr(t)+" "+name)
	q := redisqueue.New(redistest.Client(t), name)
	for noticed := false; !noticed; {
		members, err := q.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		noticed = members[0].CrashDetection > 0
	}
	wantLines(t, flags,
		[]string{"held, and 0 waiting"},
		[]string{"PLACE"},
		[]string{fmt.Sprint(number), "1h0m0s, crash 1m0s", "holds the lock"})

	owner.Process.Kill()
	owner.Wait()
	for marked := false; !marked; {
		if err := q.CleanupStale(t.Context()); err != nil { // a look at the line, as a waiter takes
			t.Fatal(err)
		}
		members, err := q.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		marked = !members[0].Gone.IsZero()
	}
	var first, second line
	for _, l := range []*line{&first, &second} {
		if err := json.Unmarshal([]byte(programtest.Run(t, append(flags, "-json")...)), l); err != nil {
			t.Fatal(err)
		}
	}
	if gone := first.Members[0].Gone; gone.IsZero() || !gone.Equal(second.Members[0].Gone) {
		t.Errorf("gone since %v, then since %v", gone, second.Members[0].Gone)
	}
	wantLines(t, flags,
		[]string{"held, and 0 waiting"},
		[]string{"PLACE"},
		[]string{fmt.Sprint(number), "its process has ended, or has lost its connection", "s ago: evicted if it stays so"})
}

// TestUnseen: crash detection that was asked for and does not work is shown.
func TestUnseen(t *testing.T) {
	server := redistest.StartServer(t)
	if err := server.Client().Do(t.Context(), "ACL", "SETUSER", "default", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	mustRegister(t, redisqueue.New(server.Client(), "unseen", redisqueue.WithCrashDetection(time.Second)))
	wantLines(t, []string{"-redis", server.Addr, "-name", "unseen"},
		[]string{"held, and 0 waiting"},
		[]string{"PLACE"},
		[]string{"30s, crash detection does not work", "holds the lock"})
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
	for d, want := range map[string]string{directory: "none in line\n", filepath.Join(directory, "missing"): "none in line: there is no such directory"} {
		if output := programtest.Run(t, "-file", d); !strings.Contains(output, want) {
			t.Errorf("%s: it does not say %q:\n%s", d, want, output)
		}
	}
	if found := list(t, directory); found != "" {
		t.Errorf("inspect created %s", found)
	}
	name := redistest.Name(t)
	wantLines(t, []string{"-redis", redistest.Addr(t), "-name", name}, []string{"none in line"})
	if keys := redistest.Keys(t, redistest.Client(t), name); len(keys) > 0 {
		t.Errorf("inspect created %v", keys)
	}
}

func TestWatch(t *testing.T) {
	testenv.NeedSignals(t)
	directory := filepath.Join(t.TempDir(), "queue")
	q := filequeue.New(directory)
	ticket := mustRegister(t, q)
	p := programtest.Start(t, "-file", directory, "-watch", "1ms", "-json")
	shown := 0 // bytes that were looked at
	wantMembers := func(want int) {
		t.Helper()
		p.Stdout.Await(t, fmt.Sprintf("a line with %d members", want), func(text string) bool {
			for line := range strings.Lines(text[shown:]) {
				if !strings.HasSuffix(line, "\n") {
					break
				}
				shown += len(line)
				if strings.Count(line, `"token"`) == want {
					return true
				}
			}
			return false
		})
	}
	wantMembers(1)
	if err := queue.Release(t.Context(), q, ticket); err != nil {
		t.Error(err)
	}
	wantMembers(0)
	mustRegister(t, q)
	wantMembers(1)
	p.Process.Signal(os.Interrupt)
	p.WantExit(0, "")
	if text := p.Stderr.String(); text != "" {
		t.Errorf("it says %s", text)
	}
}

// silent is a queue that answers only the first looks, or none.
type silent struct {
	queue.TicketQueue
	answers int
}

func (s *silent) Members(ctx context.Context) ([]queue.Member, error) {
	if s.answers--; s.answers >= 0 {
		return nil, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestWatchEndsInALook: what counts is the last look that was not cut off.
func TestWatchEndsInALook(t *testing.T) {
	for name, test := range map[string]struct {
		answers  int
		lifetime time.Duration
		failed   bool
	}{
		"the first":                 {0, answerTimeout / 2, true},
		"the third, after failures": {0, 2*answerTimeout + 3*time.Second, true},
		"the second, after answers": {1, 2 * time.Second, false},
		"the third, after both":     {1, answerTimeout + 3*time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.lifetime)
				defer cancel()
				i := &inspector{settings: settings{watch: time.Second}, queue: &silent{answers: test.answers}, out: io.Discard}
				if err := i.watch(ctx); (err != nil) != test.failed {
					t.Errorf("watch returns %v", err)
				}
			})
		})
	}
}

// TestTerminal: on a terminal the table is drawn in place of the one before, and a
// line that is too long for it is cut off.
func TestTerminal(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs the script(1) of util-linux, which makes a terminal: run on Linux")
	}
	testenv.Need(t, "script")
	directory := filepath.Join(t.TempDir(), "queue")
	q := filequeue.New(directory)
	for range 3 {
		mustRegister(t, q)
	}
	p := programtest.Command(t)
	run := fmt.Sprintf("stty rows 6; exec %s -file %s -watch 10ms", p.Path, directory)
	script, err := exec.LookPath("script")
	if err != nil {
		t.Fatal(err)
	}
	p.Path, p.Args = script, []string{"script", "--quiet", "--return", "--command", run, os.DevNull}
	p.Env = append(p.Env, "SHELL=/bin/sh")
	p.Start()
	p.Stdout.Await(t, "three pictures", func(text string) bool { return strings.Count(text, clearBelow) >= 3 })
	io.WriteString(p.Stdin, "\x03")
	p.WantExit(0, "")
	text := strings.ReplaceAll(p.Stdout.String(), "^C", "") // which the terminal has echoed
	// Between two pictures, when Ctrl-Z may come, the lines of the terminal are as they were.
	const begins, ends = home + noWrap, clearBelow + wrap
	if n := strings.Count(text, ends); !strings.HasPrefix(text, clearScreen+begins) || !strings.HasSuffix(text, ends) ||
		strings.Count(text, ends+begins) != n-1 || strings.Count(text, noWrap) != n || strings.Count(text, wrap) != n {
		t.Errorf("a picture begins or ends otherwise: %q", text)
	}
	if pictures := strings.Split(text, clearBelow); strings.Count(pictures[1], "\n") != 4 || !strings.Contains(pictures[1], "... and 2 more") {
		t.Errorf("a picture should have 1 of 3 tickets, and 4 lines: %q", pictures[1])
	}
}

func TestEvict(t *testing.T) {
	for name, p := range places(t, 9*time.Second) { // it outlives the start of five programs
		t.Run(name, func(t *testing.T) {
			holder, waiter := lock.New(p.q), lock.New(p.q)
			if err := holder.Lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := make(chan error, 1)
			go func() { got <- waiter.Lock(t.Context()) }()
			awaitMembers(t, p.q, 2)

			evict := append(p.flags, "-evict", fmt.Sprint(holder.Token()))
			for _, answer := range []string{"no\n", "y\n", ""} {
				evictWith(t, answer, evict...).WantExit(cli.ExitFailed, "nothing was evicted: the answer was not yes")
			}
			awaitMembers(t, p.q, 2)

			e := evictWith(t, "yes\n", evict...)
			e.WantExit(0, "")
			for _, want := range []string{"holds the lock, which the next in line gets at once", "within " + p.hears.String(), " of deploy 42 (", "is out of the line.\n"} {
				if !strings.Contains(e.Stdout.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, e.Stdout)
				}
			}
			if err := <-got; err != nil {
				t.Error(err)
			}
			if p.hears < 10*time.Second { // what takes longer is seen by Unlock alone
				<-holder.Lost()
			}
			if err := holder.Unlock(); !errors.Is(err, lock.ErrLost) {
				t.Errorf("the holder's Unlock returns %v", err)
			}
			evictWith(t, "yes\n", evict...).WantExit(cli.ExitFailed, "there is no ticket")
			if err := waiter.Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEvictPermit: the permit of one in the middle goes to the next that waits.
func TestEvictPermit(t *testing.T) {
	for name, p := range places(t, time.Minute) {
		t.Run(name, func(t *testing.T) {
			s := lock.NewSemaphore(p.q, 2)
			var holds []*lock.Hold
			for range 2 {
				hold, err := s.Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				holds = append(holds, hold)
			}
			next := make(chan error)
			go func() {
				hold, err := s.Acquire(t.Context())
				if err == nil {
					err = hold.Release()
				}
				next <- err
			}()
			awaitMembers(t, p.q, 3)
			e := evictWith(t, "yes\n", append(p.flags, "-evict", fmt.Sprint(holds[1].Token()))...)
			e.WantExit(0, "")
			if want := "holds one of 2 permits, which the next in line gets at once"; !strings.Contains(e.Stdout.String(), want) {
				t.Errorf("it does not say %q:\n%s", want, e.Stdout)
			}
			if err := <-next; err != nil {
				t.Error(err)
			}
			if err := holds[1].Release(); !errors.Is(err, lock.ErrLost) {
				t.Errorf("Release of the permit that was taken away returns %v", err)
			}
			if err := holds[0].Release(); err != nil {
				t.Error(err)
			}
		})
	}
}

func evictWith(t *testing.T, answer string, args ...string) *programtest.Process {
	t.Helper()
	p := programtest.Start(t, args...)
	io.WriteString(p.Stdin, answer)
	p.Stdin.Close()
	return p
}

func awaitMembers(t *testing.T, q queue.TicketQueue, want int) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		members, err := queue.Members(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(members) == want {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%d in line, want %d", len(members), want)
		}
	}
}

func TestRefused(t *testing.T) {
	programtest.WantRefused(t, cli.ExitUsage,
		programtest.Refusal{Words: "either -file or -redis", Args: nil},
		programtest.Refusal{Words: "which lock", Args: []string{"-redis", "x:1"}},
		programtest.Refusal{Words: "above 0", Args: []string{"-file", "x", "-watch", "-1s"}},
		programtest.Refusal{Words: "above 0", Args: []string{"-file", "x", "-watch", "1s", "-for", "-1s"}},
		programtest.Refusal{Words: "-for is for -watch", Args: []string{"-file", "x", "-for", "1s"}},
		programtest.Refusal{Words: "above 0", Args: []string{"-file", "x", "-evict", "0"}},
		programtest.Refusal{Words: "give a token", Args: []string{"-file", "x", "-evict", "abc"}},
		programtest.Refusal{Words: "leave out -watch", Args: []string{"-file", "x", "-evict", "7", "-watch", "1s"}},
		programtest.Refusal{Words: "-lease", Args: []string{"-file", "x", "-lease", "1s"}},
		programtest.Refusal{Words: "surplus", Args: []string{"-file", "x", "surplus"}},
	)
	if runtime.GOOS == "windows" {
		return // other words
	}
	programtest.WantRefused(t, cli.ExitFailed,
		programtest.Refusal{Words: "connection refused", Args: []string{"-redis", "127.0.0.1:1", "-name", "x"}},
	)
}

// TestAdvice: an error of the storage comes with what its user can do about it.
func TestAdvice(t *testing.T) {
	refuse := func(context.Context) error { return fmt.Errorf("opening: %w", fs.ErrPermission) }
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	inRedis, inFiles := cli.Place{Redis: "x:1", Name: "x"}, cli.Place{File: "x"}
	for name, test := range map[string]struct {
		place    cli.Place
		lifetime time.Duration
		f        func(context.Context) error
		want     string
	}{
		"a server that hangs":       {inRedis, time.Minute, hang, "no answer within 5s: the server is stopped, overloaded or unreachable: context deadline exceeded"},
		"the end of -for":           {inRedis, time.Second, hang, "context deadline exceeded"},
		"another user's directory":  {inFiles, time.Minute, refuse, "run inspect as the user of the queue, or as root: opening: " + fs.ErrPermission.Error()},
		"another user's connection": {inRedis, time.Minute, refuse, "opening: " + fs.ErrPermission.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.lifetime)
				defer cancel()
				i := &inspector{settings: settings{place: test.place}}
				if err := i.ask(ctx, test.f); err.Error() != test.want {
					t.Errorf("%q, want %q", err, test.want)
				}
			})
		})
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
