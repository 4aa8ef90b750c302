package lock_test

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/memqueue"
)

func ExampleLogTrace() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, nil)).With("lock", "report")
	m := lock.New(memqueue.New(), lock.WithTrace(lock.LogTrace(logger)))
	_ = m // what m does is logged from now on
	// Output:
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
		mustJoin(t, q)
		time.Sleep(lease) // so it dies
		mustLock(t, m)
		mustUnlock(t, m)
		synctest.Wait()
		for _, want := range []string{
			`level=DEBUG msg="in line for the lock" ticket=`,
			`level=DEBUG msg="acquired the lock" ticket=`,
			`level=DEBUG msg="released the lock" ticket=`,
			`held=1s`,
			`level=WARN msg="a heartbeat failed" ticket=`,
			`level=WARN msg="lost the lock" ticket=`,
			`the backend is down`,
			`level=WARN msg="evicted a ticket whose owner is gone" ticket=`,
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the log has no %s:\n%s", want, out.String())
			}
		}
	})
}
