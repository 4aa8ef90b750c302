//go:build linux

package server

import (
	"context"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
)

const (
	// nodeTimeout is how long a node of a Cluster may be silent before it is
	// held to be down, when one has failed.
	nodeTimeout = time.Second
	neverDown   = time.Minute // before, and in tests in which none does
)

// home is a queue in a Cluster, its slot, and which of the primaries has it.
type home struct {
	spec  harness.Spec
	slot  int
	place int
}

func clusterQueue(c *redistest.Cluster, lease time.Duration) home {
	h := home{spec: harness.Cluster(c.Addrs(), "cluster", lease)}
	h.slot = c.Slot("{" + h.spec.Name + "}:queue")
	h.place = c.Place(h.slot)
	return h
}

// The slot of the queue moves to another node and on, all the time, while workers
// contend. They notice it only by waiting.
func TestR25SlotMoves(t *testing.T) { r25SlotMoves(t, 100) }

func TestR25SlotMovesTorture(t *testing.T) {
	r25SlotMoves(t, int(harness.Torture(t)/(10*time.Millisecond)))
}

func r25SlotMoves(t *testing.T, sections int) {
	t.Parallel()
	c := redistest.StartCluster(t, false, neverDown)
	random := harness.Random(t)
	q := clusterQueue(c, faulttest.LongLease) // for so long, a mark is left of a call that was redirected
	from := q.place
	v := faulttest.Disturb(t, q.spec, sections, 20*time.Millisecond, func(context.Context) error {
		to := (from + 1) % len(c.Primaries)
		keys := 0
		// What has begun is ended, or the slot would stay open.
		err := c.MoveSlot(context.Background(), q.slot, from, to, func() {
			if keys++; keys <= 4 { // there are marks of redirected calls, too
				time.Sleep(harness.Below(random, 20*time.Millisecond))
			}
		})
		from = to
		time.Sleep(50*time.Millisecond + harness.Below(random, 100*time.Millisecond)) // a call that waits must meet it
		return err
	})
	if v.Failures != 0 || v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want that nobody notices", v)
	}
}

// The primary of the slot fails, and there is no replica: while it is away, calls
// return errors, or wait for as long as their ctx lets them; when it is back
// without its data, all goes on as after a restart.
func TestR26PrimaryFailsWithoutReplica(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, false, neverDown)
	q := clusterQueue(c, 2*faulttest.LongLease)
	l := faulttest.NewLine(t, q.spec, 3)
	c.Primaries[q.place].Kill()
	c.SetNodeTimeout(nodeTimeout)
	c.AwaitState("fail")
	newcomer := l.Start()
	const patience = 500 * time.Millisecond
	faulttest.InTheEnd(t, func() (quick bool) {
		call := newcomer.LockFor(patience)
		called := call.Called()
		e := call.Cancelled()
		t.Logf("Lock returned after %v, with a ctx of %v: %s", faulttest.Since(called, e), patience, e.Error)
		return faulttest.Since(called, e) <= patience+faulttest.Soon
	})
	c.Primaries[q.place].Start()
	c.AwaitState("ok")
	faulttest.WantLost(t, l.Workers[0])
	l.Drain(t, 1)
	newcomer.Lock().Granted()
	newcomer.MustUnlock()
	if v := l.Check(); v.Evicted != 2 {
		t.Errorf("%v; want that the two who waited took new tickets", v)
	}
	l.CheckNothingIsLeft()
}

// The primary of the slot fails, and its replica lags: the holder loses the lock,
// the waiters line up again, and tokens ascend.
func TestR26PrimaryFails(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, true, neverDown)
	q := clusterQueue(c, 2*faulttest.LongLease)
	redistest.HoldReplication(t, c.Primaries[q.place])
	l := faulttest.NewLine(t, q.spec, 4)
	c.Primaries[q.place].Kill()
	c.SetNodeTimeout(nodeTimeout)
	redistest.AwaitPrimary(t, c.Replicas[q.place])
	c.SetNodeTimeout(neverDown)
	faulttest.WantLost(t, l.Workers[0])
	l.Drain(t, 1)
	if v := l.Check(); v.Failures != 0 || v.Evicted != 3 {
		t.Errorf("%v; want that the three who waited took new tickets, and no more", v)
	}
	l.CheckNothingIsLeft()
}

// What the replica knows is not lost, not even a release while no node has the slot.
func TestR26PrimaryFailsWithAllData(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, true, neverDown)
	q := clusterQueue(c, 2*faulttest.LongLease)
	l := faulttest.NewLine(t, q.spec, 4)
	redistest.AwaitReplica(t, c.Primaries[q.place], c.Replicas[q.place])
	c.Primaries[q.place].Kill()
	c.SetNodeTimeout(nodeTimeout)
	l.Workers[0].Write()
	l.Workers[0].MustUnlock()
	redistest.AwaitPrimary(t, c.Replicas[q.place])
	c.SetNodeTimeout(neverDown)
	l.Drain(t, 1)
	if v := l.Check(); v.Failures != 0 || v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
	l.CheckNothingIsLeft()
}

// The primary of the slot fails while workers contend, and its replica lags.
func TestR26PrimaryFailsUnderLoad(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, true, neverDown)
	q := clusterQueue(c, 2*time.Second)
	faulttest.UnderLoad(t, q.spec, func(passing func(sections int)) {
		redistest.HoldReplication(t, c.Primaries[q.place])
		passing(50)
		c.Primaries[q.place].Kill()
		c.SetNodeTimeout(nodeTimeout)
		redistest.AwaitPrimary(t, c.Replicas[q.place])
		c.SetNodeTimeout(neverDown)
	})
}
