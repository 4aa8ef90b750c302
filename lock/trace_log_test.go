package lock_test

import (
	"context"
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
	m := lock.New(memqueue.New(), lock.WithTrace(lock.LogTrace(logger)), lock.WithMaxWait(10*time.Millisecond))
	_ = m.Lock(context.Background())
	_ = m.Lock(context.Background()) // waits for itself
	_ = m.Unlock()
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
