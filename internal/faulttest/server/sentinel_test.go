//go:build linux

package server

import (
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
)

func sentinelQueue(s *redistest.Sentinel, lease time.Duration) harness.Spec {
	return harness.Sentinel(s.Addrs, redistest.SentinelName, "sentinel", lease)
}

// The primary fails, and what the replica does not know is lost: the holder
// loses the lock, the waiters line up again, and tokens ascend.
func TestR23SentinelFailover(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	redistest.HoldReplication(t, s.Primary)
	l := faulttest.NewLine(t, sentinelQueue(s, 2*faulttest.LongLease), 4)
	l.Workers[0].Write()
	s.AwaitLag()
	s.Primary.Kill()
	s.AwaitFailover()
	faulttest.WantLost(t, l.Workers[0])
	l.Drain(t, 1)
	if v := l.Check(); v.Failures != 0 || v.Evicted != 3 {
		t.Errorf("%v; want that the three who waited took new tickets, and no more", v)
	}
	l.CheckNothingIsLeft()
}

// What the replica knows is not lost.
func TestR23SentinelFailoverWithAllData(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	l := faulttest.NewLine(t, sentinelQueue(s, 2*faulttest.LongLease), 4)
	redistest.AwaitReplica(t, s.Primary, s.Replica)
	s.Primary.Kill()
	s.AwaitFailover()
	l.Workers[0].Write()
	l.Workers[0].MustUnlock()
	l.Drain(t, 1)
	if v := l.Check(); v.Failures != 0 || v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
	l.CheckNothingIsLeft()
}

// The primary fails while workers contend, and the replica lags.
func TestR23SentinelFailoverUnderLoad(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	faulttest.UnderLoad(t, sentinelQueue(s, 2*time.Second), func(passing func(sections int)) {
		redistest.HoldReplication(t, s.Primary)
		passing(50)
		s.Primary.Kill()
		s.AwaitFailover()
	})
}

// The same for a Semaphore of three slots. Of the holds that ended well, which is what
// Release says, never are there more than three at a time, and none has barged.
func TestR23SentinelFailoverOfSlots(t *testing.T) {
	for name, lags := range map[string]bool{"the replica lags": true, "the replica knows all": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.StartSentinel(t)
			h := harness.New(t, sentinelQueue(s, 2*time.Second))
			h.Tolerant = true
			slots := faulttest.NewSlots(t, h)
			for range 4 {
				slots.Start(3)
			}
			slots.Passing(50)
			if lags {
				redistest.HoldReplication(t, s.Primary)
				slots.Passing(50)
			}
			s.Primary.Kill()
			s.AwaitFailover()
			slots.Passing(50)
			slots.Finish()
		})
	}
}

// Two primaries for a while. A holder still reaches the one that was replaced, and goes
// on owning the lock there, beside the holder that got it from the new one. The resource
// accepts only what comes from the later of the two. When the old primary hears that it
// is none, its holder loses the lock.
func TestR24TwoPrimaries(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 2*time.Second, func(lease time.Duration) bool { return r24TwoPrimaries(t, lease) })
}

// r24TwoPrimaries reports whether the earlier of two owners has kept its lease.
func r24TwoPrimaries(t *testing.T, lease time.Duration) (kept bool) {
	t.Helper()
	s := redistest.StartDividedSentinel(t)
	spec := sentinelQueue(s, lease)
	h := harness.New(t, spec)
	h.Tolerant = true
	here := harness.Redis(s.Primary.Addr, spec.Name, spec.Stale)
	a, b := h.Start(harness.With(here)), h.Start()
	first := a.Lock().Granted()
	a.Write()
	heal := s.Network.BlackHole()
	defer heal()
	s.AwaitFailover()
	second := b.Lock().Granted()
	if second.Ticket <= first.Ticket {
		t.Errorf("token %d comes after %d", second.Ticket, first.Ticket)
	}
	if e := b.Write(); e.Stale {
		t.Error("the resource has refused the later of two owners")
	}
	if h.Count(harness.Lost) > 0 {
		return false // though the primary that it knows is there
	}
	if e := a.Write(); !e.Stale {
		t.Error("the resource has accepted a write of the earlier of two owners")
	}
	heal()
	faulttest.WantLost(t, a)
	if !faulttest.Unlocked(t, b) {
		return false // its lease ran out while a was told
	}
	if v := h.Check(); v.Stale == 0 || v.LostHolds != 1 {
		t.Errorf("%v; want one hold lost, and its write refused", v)
	}
	h.CheckNothingIsLeft()
	return true
}

// A primary that must not write without a replica makes the holder on its side
// lose the lock, without hearing from the other.
func TestR24TwoPrimariesWithMinReplicas(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 2*time.Second, func(lease time.Duration) bool { return r24MinReplicas(t, lease) })
}

// r24MinReplicas reports false if a hold was lost for another reason than that a replica
// is missing.
func r24MinReplicas(t *testing.T, lease time.Duration) (kept bool) {
	t.Helper()
	s := redistest.StartDividedSentinel(t)
	spec := sentinelQueue(s, lease)
	h := harness.New(t, spec)
	h.Tolerant = true
	here := harness.Redis(s.Primary.Addr, spec.Name, spec.Stale)
	a, b := h.Start(harness.With(here)), h.Start()
	a.Lock().Granted()
	a.Write()
	faulttest.Do(t, s.Primary.Client(), "CONFIG SET min-replicas-max-lag 1")
	faulttest.Do(t, s.Primary.Client(), "CONFIG SET min-replicas-to-write 1")
	heal := s.Network.BlackHole()
	defer heal()
	if _, u := faulttest.WantLost(t, a); !strings.Contains(u.Error, "NOREPLICAS") {
		t.Logf("Unlock returned %q, want that it names NOREPLICAS", u.Error)
		return false // its lease ran out before the server refused it a heartbeat
	}
	s.AwaitFailover()
	b.Lock().Granted()
	b.Write()
	if !faulttest.Unlocked(t, b) {
		return false
	}
	heal()
	h.Check()
	h.CheckNothingIsLeft()
	return true
}
