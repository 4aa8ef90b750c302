package lock

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// LogTrace returns hooks that write to logger what happens to a Mutex or a
// Semaphore. What needs attention is at level Warn, which every logger shows unless
// it was told not to: a call that failed, a place in line that was lost, a heartbeat
// that failed, a lock that was lost, also if only its release has found that out, a
// release that was not confirmed, and a dead owner's ticket that was evicted. Waiting,
// acquiring, releasing and a wait that was cancelled are at level Debug. Every record has
// the ticket's number, which is the fencing token, as "ticket"; 0 is a call that
// has none, see [Trace].Failed. Give the logger the lock's name:
//
//	lock.WithTrace(lock.LogTrace(slog.Default().With("lock", "report")))
//
// It panics if logger is nil.
func LogTrace(logger *slog.Logger) *Trace {
	if logger == nil {
		panic("lock: LogTrace was given a nil logger: give slog.Default()")
	}
	log := func(level slog.Level, message string, t queue.Ticket, attrs ...slog.Attr) {
		attrs = append([]slog.Attr{slog.Int64("ticket", t.Number)}, attrs...)
		logger.LogAttrs(context.Background(), level, message, attrs...)
	}
	warn := func(message string, t queue.Ticket, err error) {
		log(slog.LevelWarn, message, t, slog.Any("error", err))
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
		Failed: func(t queue.Ticket, waited time.Duration, err error) {
			level, message := slog.LevelWarn, "did not get the lock"
			switch {
			case errors.Is(err, context.Canceled):
				level, message = slog.LevelDebug, "the wait was cancelled"
			case t.Number != 0 && (errors.Is(err, queue.ErrNotQueued) || errors.Is(err, errHeldBack)):
				message = "lost its place in line"
			}
			log(level, message, t, slog.Duration("waited", waited), slog.Any("error", err))
		},
		HeartbeatFailed: func(t queue.Ticket, err error) { warn("a heartbeat failed", t, err) },
		Lost:            func(t queue.Ticket, err error) { warn("lost the lock", t, err) },
		Released: func(t queue.Ticket, held time.Duration) {
			log(slog.LevelDebug, "released the lock", t, slog.Duration("held", held))
		},
		ReleaseFailed: func(t queue.Ticket, err error) {
			if errors.Is(err, ErrLost) {
				warn("lost the lock", t, err) // and found out only now
				return
			}
			warn("the release was not confirmed", t, err)
		},
		Evicted: func(t queue.Ticket) {
			log(slog.LevelWarn, "evicted a ticket whose owner is gone", t, slog.String("member", t.Member))
		},
	}
}
