package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
)

func TestMisuseIsReportedByTheFirstCall(t *testing.T) {
	q := memqueue.New()
	copied := *lock.New(q)
	for name, test := range map[string]struct {
		mutex *lock.Mutex
		want  string
	}{
		"nil queue":             {lock.New(nil), "nil queue"},
		"typed nil queue":       {lock.New((*memqueue.Queue)(nil)), "nil queue"},
		"zero Mutex":            {&lock.Mutex{}, ": the Mutex was not made by New"},
		"copied Mutex":          {&copied, "copied"},
		"nil backoff":           {lock.New(q, lock.WithBackOff(nil)), "WithBackOff"},
		"zero release timeout":  {lock.New(q, lock.WithReleaseTimeout(0)), "WithReleaseTimeout"},
		"minus release timeout": {lock.New(q, lock.WithReleaseTimeout(-time.Second)), "WithReleaseTimeout"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := test.mutex.Lock(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Lock returned %v, want an error about %q", err, test.want)
			}
			if ok, err := test.mutex.TryLock(t.Context()); ok || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("TryLock returned %v, %v, want an error about %q", ok, err, test.want)
			}
		})
	}
	if n := inLine(t, q); n > 0 {
		t.Errorf("%d tickets are left in line", n)
	}
}

func TestNilOptionsAreNone(t *testing.T) {
	m := lock.New(memqueue.New(), nil, lock.WithTrace(nil))
	mustLock(t, m)
	mustUnlock(t, m)
}

func TestErrorsNameTheOperationAndTheLock(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := lock.New(memqueue.New())
	_, tryErr := m.TryLock(ctx)
	for operation, err := range map[string]error{
		"lock: memory queue: ":        m.Lock(ctx),
		"try to lock: memory queue: ": tryErr,
		"unlock: memory queue: ":      m.Unlock(),
	} {
		if !strings.HasPrefix(err.Error(), operation) {
			t.Errorf("error is %q, want it to begin with %q", err, operation)
		}
	}
}

// The errors of a queue may name it, as those of the queues here do.
func TestK68ErrorsNameTheLockOnce(t *testing.T) {
	q := newFaulty(memqueue.New())
	named := func(op string) error { return &queue.Error{Op: op, Queue: q.String(), Err: errDown} }
	m := lock.New(q)
	mustLock(t, m)
	q.failBefore(func(_ context.Context, method string) error { return named(method) })
	unlockErr := m.Unlock()
	_, tryErr := m.TryLock(t.Context())
	for want, err := range map[string]error{
		"unlock: memory queue: Release: the backend is down":          unlockErr,
		"lock: memory queue: Register: the backend is down":           m.Lock(t.Context()),
		"try to lock: memory queue: TryRegister: the backend is down": tryErr,
	} {
		if err == nil || err.Error() != want {
			t.Errorf("error is %q, want %q", err, want)
		}
	}
}

func TestNilContextIsAnError(t *testing.T) {
	var none context.Context
	m := lock.New(memqueue.New())
	_, tryErr := m.TryLock(none)
	for name, err := range map[string]error{
		"Lock":    m.Lock(none),
		"TryLock": tryErr,
		"Do":      m.Do(none, func(context.Context) error { t.Error("Do has called its function"); return nil }),
	} {
		if err == nil || !strings.Contains(err.Error(), "the ctx is nil") {
			t.Errorf("%s without a ctx returned %v", name, err)
		}
	}
}

func TestNilFunctionsAreNamed(t *testing.T) {
	m := lock.New(memqueue.New())
	if err := m.Do(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "nil function") {
		t.Errorf("Do without a function returned %v", err)
	}
	if m.Token() != 0 {
		t.Error("Do without a function holds the lock")
	}
	if err := (&lock.Mutex{}).Unlock(); err == nil || !strings.Contains(err.Error(), "not made by New") {
		t.Errorf("Unlock of a zero Mutex returned %v", err)
	}
	defer func() {
		if said, _ := recover().(string); !strings.Contains(said, "nil logger") {
			t.Errorf("LogTrace without a logger panicked with %q", said)
		}
	}()
	lock.LogTrace(nil)
}

// Unlock of a copy must not release what the original holds.
func TestUnlockOfACopyTouchesNothing(t *testing.T) {
	q := memqueue.New()
	m := lock.New(q)
	mustLock(t, m)
	original := func() *lock.Mutex { return m }
	copied := *original() // go vet would complain of *m
	if err := copied.Unlock(); err == nil || !strings.Contains(err.Error(), "copied") {
		t.Errorf("Unlock returned %v, want an error that says what is wrong", err)
	}
	if n := inLine(t, q); n != 1 {
		t.Errorf("%d tickets in line, want that of the original", n)
	}
	mustUnlock(t, m)
}

func TestHooksAreCalledInOrderAndMayCallBack(t *testing.T) {
	var m *lock.Mutex
	var calls []string
	hook := func(name string) {
		calls = append(calls, name)
		_ = m.Token()
		_, _ = m.TryLock(t.Context())
	}
	m = lock.New(memqueue.New(), lock.WithTrace(&lock.Trace{
		Registered: func(queue.Ticket) { hook("Registered") },
		Acquired:   func(queue.Ticket, time.Duration) { hook("Acquired") },
	}))
	mustLock(t, m)
	mustUnlock(t, m)
	if got := strings.Join(calls, " "); got != "Registered Acquired" {
		t.Errorf("hooks: %s", got)
	}
}

// Do releases its own hold, not one that another goroutine has by then.
func TestDoReleasesItsOwnHold(t *testing.T) {
	m := lock.New(memqueue.New())
	err := m.Do(t.Context(), func(context.Context) error {
		mustUnlock(t, m)
		mustLock(t, m) // as another goroutine would
		return nil
	})
	if !errors.Is(err, lock.ErrNotLocked) {
		t.Errorf("Do returned %v, want ErrNotLocked", err)
	}
	if m.Token() == 0 {
		t.Error("Do has released the hold of another")
	}
	mustUnlock(t, m)
}

// The function of a Do hears at once that another Unlock has ended its hold: the lock may be
// another's by now.
func TestDoHearsOfAnUnlockTooMany(t *testing.T) {
	for name, do := range map[string]func(ctx context.Context, f func(ctx context.Context, unlock func() error) error) error{
		"Mutex": func(ctx context.Context, f func(context.Context, func() error) error) error {
			m := lock.New(memqueue.New())
			return m.Do(ctx, func(ctx context.Context) error { return f(ctx, m.Unlock) })
		},
		"Semaphore": func(ctx context.Context, f func(context.Context, func() error) error) error {
			s := lock.NewSemaphore(memqueue.New(), 2)
			return s.Do(ctx, func(ctx context.Context, hold *lock.Hold) error { return f(ctx, hold.Release) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := do(t.Context(), func(ctx context.Context, unlock func() error) error {
					if err := unlock(); err != nil {
						t.Error(err)
					}
					<-ctx.Done()
					if cause := context.Cause(ctx); !errors.Is(cause, lock.ErrNotLocked) {
						t.Errorf("its ctx has ended with %v, want ErrNotLocked", cause)
					}
					return nil
				})
				if !errors.Is(err, lock.ErrNotLocked) {
					t.Errorf("Do returned %v, want ErrNotLocked", err)
				}
			})
		})
	}
}

// A hook that panics, or ends its goroutine, ends the call without a hold: the
// caller is not there any more to unlock.
func TestAHookThatPanicsLeavesNothing(t *testing.T) {
	for way, end := range map[string]func(){
		"panic":  func() { panic("in a hook") },
		"Goexit": runtime.Goexit,
	} {
		for hook, trace := range map[string]*lock.Trace{
			"Registered": {Registered: func(queue.Ticket) { end() }},
			"Waiting":    {Waiting: func(queue.Ticket, int) { end() }},
			"Acquired":   {Acquired: func(queue.Ticket, time.Duration) { end() }},
		} {
			for name, call := range map[string]func(context.Context, *lock.Mutex){
				"Lock":    func(ctx context.Context, m *lock.Mutex) { _ = m.Lock(ctx) },
				"TryLock": func(ctx context.Context, m *lock.Mutex) { _, _ = m.TryLock(ctx) },
				"Do":      func(ctx context.Context, m *lock.Mutex) { _ = m.Do(ctx, func(context.Context) error { return nil }) },
			} {
				if hook == "Waiting" && name == "TryLock" {
					continue // which does not wait
				}
				t.Run(way+" in "+hook+" of "+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						q := memqueue.New()
						var ahead []queue.Ticket
						if hook == "Waiting" {
							ahead = []queue.Ticket{mustRegister(t, q), mustRegister(t, q)}
							time.AfterFunc(time.Second, func() { evict(t, q, ahead[0]) })
							time.AfterFunc(time.Hour, func() { evict(t, q, ahead[1]) })
						}
						m := lock.New(q, lock.WithTrace(trace))
						returned := false
						ended := make(chan struct{})
						go func() {
							defer close(ended)
							defer func() { _ = recover() }()
							call(t.Context(), m)
							returned = true
						}()
						<-ended
						if returned {
							t.Error("the call returned")
						}
						if n := inLine(t, q); n != min(len(ahead), 1) {
							t.Errorf("%d tickets are left in line", n)
						}
						if m.Token() != 0 {
							t.Error("the Mutex is held, and no goroutine will unlock it")
						}
					})
				})
			}
		}
	}
}

// What a hook has done with the lock before it panicked stays.
func TestAHookThatUnlocksAndPanics(t *testing.T) {
	q := memqueue.New()
	var m *lock.Mutex
	var calls int
	m = lock.New(q, lock.WithTrace(&lock.Trace{Acquired: func(queue.Ticket, time.Duration) {
		if calls++; calls == 1 {
			mustUnlock(t, m)
			mustLock(t, m)
			panic("in a hook")
		}
	}}))
	if got := panicOf(func() { _ = m.Lock(t.Context()) }); got != "in a hook" {
		t.Errorf("Lock panicked with %v, want what the hook panicked with", got)
	}
	if n := inLine(t, q); n != 1 || m.Token() == 0 {
		t.Errorf("%d tickets in line, token %d: want the hold that the hook took", n, m.Token())
	}
	mustUnlock(t, m)
}

func TestLocker(t *testing.T) {
	m := lock.New(memqueue.New())
	l := m.Locker()
	l.Lock()
	if m.Token() == 0 {
		t.Error("Locker does not lock")
	}
	l.Unlock()
	if err, ok := panicOf(l.Unlock).(error); !ok || !errors.Is(err, lock.ErrNotLocked) {
		t.Errorf("Unlock of an unlocked Locker panicked with %v, want ErrNotLocked", err)
	}
	if err, ok := panicOf(lock.New(nil).Locker().Lock).(error); !ok || !strings.Contains(err.Error(), "nil queue") {
		t.Errorf("Lock of a Locker on no queue panicked with %v, want an error that names it", err)
	}
}

// TestVetComplainsOfACopy runs go vet over a program that copies a Mutex. The program is
// a module of its own: other tests list what is in this one.
func TestVetComplainsOfACopy(t *testing.T) {
	testenv.Long(t)
	const us = "github.com/fifolock/fifolock"
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.sum": read("go.sum"),
		"go.mod": strings.Replace(read("go.mod"), "module "+us+"\n", "module copied\n", 1) +
			fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %[1]s => %q\n", us, root),
		"copied.go": `package copied
import "github.com/fifolock/fifolock/lock"
func Copy(m *lock.Mutex) { c := *m; _ = c.Unlock() }
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	vet := exec.Command("go", "vet", ".")
	vet.Dir = dir
	output, err := vet.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "copies lock value") {
		t.Errorf("go vet says: %v\n%s", err, output)
	}
}
