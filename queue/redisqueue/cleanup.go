package redisqueue

import "context"

// CleanupStale removes the heads whose leases have run out.
func (r *Queue) CleanupStale(ctx context.Context) error {
	h, err := r.begin(ctx)
	if err == nil {
		_, err = r.repeat(ctx, h, cleanupStaleScript, r.keys(), h.id)
	}
	if err != nil {
		return r.fail(ctx, "clean up", err)
	}
	return nil
}

// IsEmpty reports whether no ticket is in line, dead or alive.
func (r *Queue) IsEmpty(ctx context.Context) (bool, error) {
	h, err := r.begin(ctx)
	var answer reply
	if err == nil {
		answer, err = r.repeat(ctx, h, isEmptyScript, r.keys())
	}
	if err != nil {
		return false, r.fail(ctx, "is empty", err)
	}
	return answer.integer(0) == 1, nil
}

// MaybeCleanup removes the seq key if no ticket is in line; the others are gone
// by then.
func (r *Queue) MaybeCleanup(ctx context.Context) {
	h, err := r.begin(ctx)
	if err != nil {
		return
	}
	// Best effort: whatever is left runs out by itself.
	_, _ = r.repeat(ctx, h, maybeCleanupScript, r.keys())
}
