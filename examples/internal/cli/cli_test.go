package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
)

// programArgument makes the test binary a program that waits for the end of its ctx.
const programArgument = "program-of-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == programArgument {
		Main("program", program)
	}
	os.Exit(redistest.Main(m))
}

// program ends when its ctx does, or else with its stdin; one that hangs only then.
func program(ctx context.Context, args []string, out io.Writer) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.Copy(io.Discard, os.Stdin)
	}()
	fmt.Fprintln(out, "running")
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	if args[1] == "hangs" {
		fmt.Fprintln(out, "interrupted, and hangs")
		<-ended
	}
	return ctx.Err()
}

func start(t *testing.T, kind string) *programtest.Process {
	t.Helper()
	testenv.NeedSignals(t)
	testenv.Long(t) // programs are run
	p := programtest.Start(t, programArgument, kind)
	p.Stdout.Want(t, "running")
	return p
}

func TestInterrupted(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGHUP) // so that the program does not ignore them
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		p := start(t, "obeys")
		p.Process.Signal(s)
		p.WantExit(ExitFailed, "program: interrupted\n")
	}
}

// TestInterruptedAgain: a second Ctrl-C ends a program that hangs. The other signals come
// twice by themselves, and do not.
func TestInterruptedAgain(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGHUP)
	p := start(t, "hangs")
	p.Process.Signal(os.Interrupt)
	p.Stdout.Want(t, "hangs")
	for ended := false; !ended; { // it may not have heard of the first one in all its parts
		p.Process.Signal(os.Interrupt)
		select {
		case <-p.Ended():
			ended = true
		case <-time.After(time.Millisecond):
		}
	}
	if code := p.Wait(); code != -1 {
		t.Errorf("it ends with exit code %d, not by the signal", code)
	}
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		p := start(t, "hangs")
		p.Process.Signal(s)
		p.Stdout.Want(t, "hangs")
		p.Stdin.Close()
		for ended := false; !ended; { // until its very end
			p.Process.Signal(s)
			select {
			case <-p.Ended():
				ended = true
			default:
			}
		}
		p.WantExit(ExitFailed, "program: interrupted\n")
	}
}

// TestHangupUnderNohup: a SIGHUP that was ignored when the program was started is none of its
// business.
func TestHangupUnderNohup(t *testing.T) {
	testenv.NeedSignals(t)
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	p := start(t, "obeys")
	p.Process.Signal(syscall.SIGHUP)
	p.Stdin.Close()
	p.WantExit(0, "")
}

// parse reads the flags that say where a lock is.
func parse(needed bool, args ...string) (Place, error) {
	var p Place
	f := NewFlags("program", "[flags]")
	f.Place(&p, needed)
	f.Lease(&p, 2*time.Second)
	f.Crash(&p)
	err := f.Parse(args)
	return p, err
}

func TestK69Places(t *testing.T) {
	for _, test := range []struct {
		args          []string
		network, addr string
		tls           bool
		db            int
	}{
		{[]string{"-redis", "localhost:6379"}, "", "localhost:6379", false, 0},
		{[]string{"-redis", "[::1]:6379"}, "", "[::1]:6379", false, 0},
		{[]string{"-redis", "/run/redis/redis.sock"}, "unix", "/run/redis/redis.sock", false, 0},
		{[]string{"-redis", "./redis.sock"}, "unix", "./redis.sock", false, 0},
		{[]string{"-redis", "redis://user:secret@host:7000/3"}, "tcp", "host:7000", false, 3},
		{[]string{"-redis", "rediss://host"}, "tcp", "host:6379", true, 0},
		{[]string{"-redis", "unix:///run/redis.sock?db=2"}, "unix", "/run/redis.sock", false, 2},
		{[]string{"-redis", "unix:///run/redis@main.sock"}, "unix", "/run/redis@main.sock", false, 0},
	} {
		p, err := parse(true, append(test.args, "-name", "report")...)
		if err != nil {
			t.Errorf("%v: %v", test.args, err)
			continue
		}
		o, err := p.options()
		if err != nil || o.Network != test.network || o.Addr != test.addr || (o.TLSConfig != nil) != test.tls || o.DB != test.db {
			t.Errorf("%v: %+v, %v, want %s %s", test.args, o, err, test.network, test.addr)
		}
		if text := p.String(); !strings.Contains(text, test.addr) || strings.Contains(text, "secret") {
			t.Errorf("%v is shown as %s", test.args, text)
		}
	}
}

func TestRefused(t *testing.T) {
	redis := []string{"-redis", "x:1", "-name", "x"}
	for _, test := range []struct {
		words  string
		needed bool
		args   []string
	}{
		{"either -file or -redis, or with FIFOLOCK_REDIS", true, nil},
		{"not with both", true, []string{"-file", "x", "-redis", "x:1"}},
		{"not with both", false, []string{"-file", "x", "-redis", "x:1"}},
		{"which lock", true, []string{"-redis", "x:1"}},
		{"named by the directory", true, []string{"-file", "x", "-name", "x"}},
		{"-name is for -redis", false, []string{"-name", "x"}},
		{"-file is empty", false, []string{"-file", ""}},
		{"-redis is empty", false, []string{"-redis", ""}},
		{"-name is empty", false, []string{"-redis", "x:1", "-name", ""}},
		{"without { and }", true, []string{"-redis", "x:1", "-name", "{x}"}},
		{"begins with ~", true, []string{"-file", "~/x"}},
		{"begins with ~", false, []string{"-file", "~"}},
		{"host:port, the path", true, []string{"-redis", "localhost", "-name", "x"}},
		{"-redis: ", true, []string{"-redis", "redis://x:y:z", "-name", "x"}},
		{"-redis: ", true, []string{"-redis", "http://x", "-name", "x"}},
		{"-lease is for -redis", true, []string{"-file", "x", "-lease", "1s"}},
		{"-lease is for -redis", false, []string{"-lease", "1s"}},
		{"a time above 0", true, append(redis, "-lease", "0")},
		{"a time above 0", true, append(redis, "-lease", "-1s")},
		{"-lease must be at least 10ms", true, append(redis, "-lease", "9ms")},
		{"a time such as", true, append(redis, "-lease", "7")},
		{"-crash is for -redis", true, []string{"-file", "x", "-crash", "1s"}},
		{"-crash is for -redis", false, []string{"-crash", "1s"}},
		{"at least 500ms", true, append(redis, "-crash", "499ms")},
		{"half the lease, which is 2s", true, append(redis, "-crash", "1s", "-lease", "2s")},
		{"half the lease, which is 30s", true, append(redis, "-crash", "15s")},
		{"-mode is for -file", true, append(redis, "-mode", "0660")},
		{"permission bits", true, []string{"-file", "x", "-mode", "rw"}},
		{"permission bits", true, []string{"-file", "x", "-mode", "0"}},
		{"permission bits", true, []string{"-file", "x", "-mode", "1777"}},
		{`unexpected argument "surplus"`, true, append(redis, "surplus")},
		{"not defined: -surplus", true, []string{"-surplus"}},
	} {
		_, err := parse(test.needed, test.args...)
		var usage UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%q: %v, want a UsageError that says %q", test.args, err, test.words)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: more than a line: %v", test.args, err)
		}
	}
}

// TestPasswordIsNotShown: what cannot be parsed may be, or have, a password.
func TestPasswordIsNotShown(t *testing.T) {
	for _, address := range []string{
		"redis://:sec/ret@x:1", "redis://:12/sec@x:1", "redis://:sec#ret@x:1", "redis://:sec%zz@x:1", "redis://:sec?ret@x:1",
		"redis://:secret", "secret@x", "rediss://x:sec ret@y:1/0",
		"secret@localhost:6379", ":sec/w@localhost:6379", "redis:/:secret@localhost:6379",
	} {
		t.Setenv(redisVariable, address)
		_, err := parse(true, "-name", "x")
		if err == nil || strings.Contains(err.Error(), "sec") || !strings.Contains(err.Error(), redisVariable+": ") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestCrash: with crash detection the lease can be the usual one.
func TestCrash(t *testing.T) {
	for want, args := range map[string][]string{
		"a lease of 2s": nil,
		"a lease of 30s and crash detection after 1s": {"-crash", "1s"},
		"a lease of 5s and crash detection after 2s":  {"-crash", "2s", "-lease", "5s"},
	} {
		p, err := parse(true, append(args, "-redis", "x:1", "-name", "x")...)
		if err != nil || p.Leases() != want {
			t.Errorf("%v: %s, %v, want %s", args, p.Leases(), err, want)
		}
	}
}

func TestMode(t *testing.T) {
	if p, err := parse(true, "-file", "x", "-mode", "0660"); err != nil || p.Mode != 0o660 {
		t.Errorf("%v, %v", p.Mode, err)
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]int{"2": 2, "9": 9, "1": 0, "10": 0, "x": 0} {
		n := 0
		f := NewFlags("program", "")
		f.Int(&n, "n", 5, 2, 9, "how many")
		err := f.Parse([]string{"-n", text})
		if (err == nil) != (want > 0) || err == nil && n != want {
			t.Errorf("-n %s: %d, %v", text, n, err)
		}
		if err != nil && !strings.Contains(err.Error(), "from 2 to 9") {
			t.Errorf("-n %s: %v", text, err)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for err, want := range map[error]int{
		nil:                         0,
		flag.ErrHelp:                0,
		errors.New("x"):             ExitFailed,
		UsageError{errors.New("x")}: ExitUsage,
		fmt.Errorf("%w", UsageError{errors.New("x")}): ExitUsage,
	} {
		if code := exitCode("program", err); code != want {
			t.Errorf("%v: exit code %d, want %d", err, code, want)
		}
	}
}

// TestOwn: a demonstration has a lock of its own, unless its user names one, and
// finds what a queue leaves behind.
func TestOwn(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for name, p := range map[string]Place{
		"file":        {},
		"given file":  {File: filepath.Join(t.TempDir(), "queue")},
		"redis":       {Redis: redistest.Addr(t)},
		"given redis": {Redis: redistest.Addr(t), Name: redistest.Name(t) + "*[a]?\\"},
	} {
		t.Run(name, func(t *testing.T) {
			given := p
			directory, remove, err := p.Own("test")
			if err != nil {
				t.Fatal(err)
			}
			defer remove()
			isOwn := p.Name == filepath.Base(directory) || filepath.Dir(p.File) == directory
			if isGiven := given.File+given.Name != ""; isGiven && p != given || !isGiven && !isOwn {
				t.Errorf("%+v became %+v", given, p)
			}
			q, closeQueue, err := p.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer closeQueue()
			wantLeft(t, p, false)
			ticket, err := q.Register(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wantLeft(t, p, true)
			if err := queue.Release(t.Context(), q, ticket); err != nil {
				t.Error(err)
			}
			wantLeft(t, p, false)
		})
	}
}

func wantLeft(t *testing.T, p Place, want bool) {
	t.Helper()
	left, err := p.Leftovers(t.Context())
	if err != nil || (len(left) > 0) != want {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestDirectoryThatWasThere: only what is in it is a leftover.
func TestDirectoryThatWasThere(t *testing.T) {
	p := Place{File: t.TempDir()}
	_, remove, err := p.Own("test")
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	wantLeft(t, p, false)
}

func TestReach(t *testing.T) {
	testenv.Long(t) // go-redis tries for a while
	for addr, want := range map[string]bool{redistest.Addr(t): true, "127.0.0.1:1": false} {
		p := Place{Redis: addr, Name: redistest.Name(t)}
		if err := p.Reach(t.Context()); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// TestHelp names every flag with what it takes.
func TestHelp(t *testing.T) {
	var p Place
	f := NewFlags("program", "[flags]")
	f.Place(&p, true)
	f.Lease(&p, 30*time.Second)
	var out strings.Builder
	f.SetOutput(&out)
	f.Usage()
	for _, want := range []string{"usage: program [flags]", redisVariable, "-file directory", "-redis address", "-name name", "-lease", "(default 30s)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("-help does not say %q:\n%s", want, &out)
		}
	}
}

// A program that needs a place may be given it where no other user sees it.
func TestPlaceFromTheEnvironment(t *testing.T) {
	t.Setenv(redisVariable, "redis://user:secret@localhost:1/2")
	for _, needed := range []bool{true, false} {
		var p Place
		f := NewFlags("program", "[flags]")
		f.Place(&p, needed)
		if err := f.Parse([]string{"-name", "report"}); needed && err != nil {
			t.Fatal(err)
		}
		if want := needed; (p.Redis != "") != want {
			t.Errorf("needed %v: the address is %q", needed, p.Redis)
		}
	}
}

func TestPrintable(t *testing.T) {
	if got := Printable("a\x1b[31m\nb é"); got != "a\uFFFD[31m\uFFFDb é" {
		t.Errorf("%q", got)
	}
}
