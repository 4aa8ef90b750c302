package lock

import (
	"context"
	"log/slog"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// LogTrace returns hooks that write to logger what happens to a Mutex: waiting,
// acquiring and releasing at level Debug, a heartbeat that failed and a dead
// owner's ticket that was evicted at Warn, and a lock that was lost at Error.
// Every record has the ticket's number, which is the fencing token, as
// "ticket". Give the logger the lock's name:
//
//	lock.WithTrace(lock.LogTrace(slog.Default().With("lock", "report")))
func LogTrace(logger *slog.Logger) *Trace {
	if logger == nil {
		panic("lock: LogTrace was given a nil logger: give slog.Default()")
	}
	log := func(level slog.Level, message string, t queue.Ticket, attrs ...slog.Attr) {
		attrs = append([]slog.Attr{slog.Int64("ticket", t.Number)}, attrs...)
		logger.LogAttrs(context.Background(), level, message, attrs...)
	}
	return &Trace{
		Registered: func(t queue.Ticket) {
			log(slog.LevelDebug, "in line for the lock", t, slog.Int("ahead", t.Ahead))
		},
		Waiting: func(t queue.Ticket, ahead int) {
			log(slog.LevelDebug, "the line has moved", t, slog.Int("ahead", ahead))
		},
		Acquired: func(t queue.Ticket, waited time.Duration) {
			log(slog.LevelDebug, "acquired the lock", t, slog.Duration("waited", waited))
		},
		HeartbeatFailed: func(t queue.Ticket, err error) {
			log(slog.LevelWarn, "a heartbeat failed", t, slog.Any("error", err))
		},
		Lost: func(t queue.Ticket, err error) {
			log(slog.LevelError, "lost the lock", t, slog.Any("error", err))
		},
		Released: func(t queue.Ticket, held time.Duration) {
			log(slog.LevelDebug, "released the lock", t, slog.Duration("held", held))
		},
		Evicted: func(t queue.Ticket) {
			log(slog.LevelWarn, "evicted a ticket whose owner is gone", t, slog.String("member", t.Member))
		},
	}
}
