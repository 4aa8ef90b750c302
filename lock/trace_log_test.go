package lock_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/memqueue"
)

// What needs attention is seen with any logger.
func ExampleLogTrace() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { // what differs from one run to the next
			if a.Key == "time" || a.Key == "ticket" || a.Key == "waited" || a.Key == "error" {
				return slog.Attr{}
			}
			return a
		},
	})).With("lock", "report")
	q := memqueue.New()
	_ = lock.New(q).Lock(context.Background()) // holds it
	m := lock.New(q, lock.WithTrace(lock.LogTrace(logger)), lock.WithMaxWait(10*time.Millisecond))
	_ = m.Lock(context.Background())
	// Output: level=WARN msg="did not get the lock" lock=report
}

func TestLogTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		q := newFaulty(leased(lease))
		m := lock.New(q, lock.WithTrace(lock.LogTrace(logger)))
		mustLock(t, m)
		time.Sleep(time.Second)
		mustUnlock(t, m)
		mustLock(t, m)
		q.failBefore(down("Refresh"))
		<-m.Lost()
		synctest.Wait()
		_ = m.Unlock()
		q.failBefore(down("nothing"))
		mustRegister(t, q)
		time.Sleep(lease / 2)
		mustRegister(t, q)
		mustLock(t, m) // when both have died, one after the other
		q.failBefore(down("Release"))
		_ = m.Unlock()
		q.failBefore(down())
		_ = m.Lock(t.Context())
		synctest.Wait()
		for _, want := range []string{
			`level=DEBUG msg="in line for the lock" ticket=`,
			`level=DEBUG msg="the line has moved" ticket=`,
			` ahead=1`,
			`level=DEBUG msg="acquired the lock" ticket=`,
			`level=DEBUG msg="released the lock" ticket=`,
			`held=1s`,
			`level=WARN msg="a heartbeat failed" ticket=`,
			`level=WARN msg="lost the lock" ticket=`,
			`the backend is down`,
			`level=WARN msg="evicted a ticket whose owner is gone" ticket=`,
			`level=WARN msg="the release was not confirmed" ticket=`,
			`level=WARN msg="did not get the lock" ticket=0`,
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the log has no %s:\n%s", want, out.String())
			}
		}
	})
}

// A wait that was cancelled needs no attention. A ticket that was lost, or has stepped
// back, is not a call that failed, and a loss that only the release has found is a loss.
func TestLogTraceTellsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		q := leased(lease)
		m := lock.New(q, lock.WithTrace(lock.LogTrace(logger)))
		wantLast := func(want string) {
			t.Helper()
			synctest.Wait()
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; !strings.Contains(last, want) {
				t.Errorf("the last record is %s; want %s", last, want)
			}
		}

		mustLock(t, m)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Lock(ctx) }()
		synctest.Wait()
		cancel()
		<-done
		wantLast(`level=DEBUG msg="the wait was cancelled"`)

		go func() { done <- m.Lock(t.Context()) }()
		synctest.Wait()
		members, err := q.Members(t.Context())
		if err != nil || len(members) != 2 {
			t.Fatalf("Members returned %v, %v", members, err)
		}
		if err := q.Remove(t.Context(), members[1].Ticket); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lease)
		synctest.Wait()
		if !strings.Contains(out.String(), `level=WARN msg="lost its place in line"`) {
			t.Errorf("the log does not say that the place was lost:\n%s", out.String())
		}

		if err := q.Remove(t.Context(), members[0].Ticket); err != nil {
			t.Fatal(err)
		}
		if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
			t.Fatalf("Unlock returned %v", err)
		}
		synctest.Wait()
		if !strings.Contains(out.String(), `level=WARN msg="lost the lock"`) {
			t.Errorf("the log does not say that the lock was lost:\n%s", out.String())
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}

		go func() { done <- m.Lock(t.Context()) }()
		synctest.Wait()
		if members, err = q.Members(t.Context()); err != nil || len(members) != 2 {
			t.Fatalf("Members returned %v, %v", members, err)
		}
		if err := q.Remove(t.Context(), members[0].Ticket); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lease) // the waiter steps back, and goes on
		synctest.Wait()
		if strings.Contains(out.String(), "did not get the lock") {
			t.Errorf("the log says of a call that goes on that it has failed:\n%s", out.String())
		}
		_ = m.Unlock()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		mustUnlock(t, m)
	})
}
