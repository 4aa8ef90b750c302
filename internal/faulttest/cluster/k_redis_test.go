//go:build linux

package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// A slot moves without the holder's ticket, and another one locks at its new node:
//
//  1. A holds. Its keys are lost; the slot moves. C locks at the new node.
//  2. A's release is redirected there, where its ticket is not.
//
// What has redirected it has not done it: A has lost the lock, and is told.
func TestK10UnlockAfterASlotHasMoved(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, false, neverDown)
	h := clusterQueue(c, time.Hour)
	mutex := func() *lock.Mutex {
		return lock.New(redisqueue.New(c.Client(), h.spec.Name, redisqueue.WithLease(time.Hour)))
	}
	a, next := mutex(), mutex()
	faulttest.MustLock(t, a)
	direct := c.Primaries[h.place].Client()
	for _, key := range redistest.Keys(t, direct, h.spec.Name) {
		if err := direct.Del(t.Context(), key).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.MoveSlot(t.Context(), h.slot, h.place, (h.place+1)%len(c.Primaries), nil); err != nil {
		t.Fatal(err)
	}
	faulttest.MustLock(t, next)
	if err := a.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	faulttest.MustUnlock(t, next)
}

// A slot moves with the holder's ticket: the release that is redirected has
// released.
func TestK10UnlockBehindAMovedSlot(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, false, neverDown)
	h := clusterQueue(c, time.Hour)
	m := lock.New(redisqueue.New(c.Client(), h.spec.Name, redisqueue.WithLease(time.Hour)))
	for i := range 2 {
		faulttest.MustLock(t, m)
		from := (h.place + i) % len(c.Primaries)
		if err := c.MoveSlot(t.Context(), h.slot, from, (from+1)%len(c.Primaries), nil); err != nil {
			t.Fatal(err)
		}
		faulttest.MustUnlock(t, m)
	}
}
