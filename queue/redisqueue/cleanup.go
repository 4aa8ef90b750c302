package redisqueue

import (
	"context"

	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

// CleanupStale removes those among the owners whose leases have run out.
func (v *view) CleanupStale(ctx context.Context) error {
	n, err := v.begin(ctx)
	if err == nil {
		var answer reply
		answer, err = v.repeat(ctx, n, v.request(cleanupStaleScript, n.ID(), v.keys()))
		v.repairIf(ctx, n, answer.integer(0))
	}
	return v.failed(ctx, "clean up", err)
}

// IsEmpty reports whether no ticket is in line, dead or alive.
func (v *view) IsEmpty(ctx context.Context) (bool, error) {
	n, err := v.begin(ctx)
	var answer reply
	if err == nil {
		answer, err = v.repeat(ctx, n, v.request(isEmptyScript, n.ID(), v.keys()))
	}
	return err == nil && answer.integer(0) == 1, v.failed(ctx, "is empty", err)
}

// MaybeCleanup removes the seq key if no ticket is in line, unless its number is
// ahead of the server's clock; the other keys are gone by then.
func (v *view) MaybeCleanup(ctx context.Context) {
	n, err := v.begin(ctx)
	if err != nil {
		return
	}
	// Best effort: whatever is left runs out by itself.
	_, _ = v.repeat(ctx, n, v.request(maybeCleanupScript, n.ID(), v.keys()))
}

// repairIf repairs the leases if an answer says -1 for how long the owners are
// believed: one has longer to go than it was made, because the server's clock was
// set back, or has no end. Best effort: another call will see it too.
func (v *view) repairIf(ctx context.Context, n *notifier.Notifier, milliseconds int64) {
	if milliseconds >= 0 {
		return
	}
	for done := int64(0); done >= 0; {
		answer, err := v.repeat(ctx, n, v.request(repairScript, n.ID(), v.keys(), done))
		if err != nil {
			return
		}
		done = answer.integer(0)
	}
}

// repeat runs a script, which may be executed more than once, until it is through
// with the dead.
func (v *view) repeat(ctx context.Context, n *notifier.Notifier, r request) (reply, error) {
	for {
		answer, lost, err := v.send(ctx, v.brief(), r)
		if lost > 0 {
			n.Reload(v.name) // a lost reply may have carried a message for one of ours
		}
		if err != nil {
			return reply{}, err
		}
		deliver(n, answer)
		if answer.status != statusAgain {
			return answer, answer.status.err()
		}
		if err := ctx.Err(); err != nil {
			return reply{}, err
		}
	}
}
