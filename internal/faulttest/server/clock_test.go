//go:build linux

package server

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// clock is the wall clock of a server.
type clock struct {
	t    *testing.T
	file *os.File // see testdata/clock.c
}

// startWithClock starts a server with a wall clock that can be set.
func startWithClock(t *testing.T) (*redistest.Server, clock) {
	t.Helper()
	redistest.NeedReal(t)
	testenv.Need(t, "gcc")
	dir := t.TempDir()
	library := filepath.Join(dir, "clock.so")
	if out, err := exec.Command("gcc", "-O2", "-shared", "-fPIC", "-o", library, "testdata/clock.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	file, err := os.Create(filepath.Join(dir, "clock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	c := clock{t, file}
	c.set(0)
	return redistest.StartServerIn(t, []string{"CLOCK_FILE=" + file.Name(), "LD_PRELOAD=" + library}), c
}

// set sets the clock so much ahead of the machine's.
func (c clock) set(ahead time.Duration) {
	c.t.Helper()
	seconds := binary.NativeEndian.AppendUint64(nil, uint64(int64(ahead/time.Second)))
	if _, err := c.file.WriteAt(seconds, 0); err != nil {
		c.t.Fatal(err)
	}
}

// The server's clock is set forward: every lease has run out. The holder is told,
// the others line up again, and tokens ascend also when the clock is set right.
func TestR37ClockSetForward(t *testing.T) {
	t.Parallel()
	server, clock := startWithClock(t)
	l := faulttest.NewLine(t, harness.Redis(server.Addr, "clock", 5*time.Second), 4)
	clock.set(time.Hour)
	faulttest.WantLost(t, l.Workers[0])
	l.Calls[0] = l.Workers[0].Lock()
	l.Drain(t, 0)
	l.Check()
	l.CheckNothingIsLeft()
}

// checkSeqIsLeft: of an empty line nothing is left but the last number, as long as it
// is ahead of the clock: the next would be lower.
func checkSeqIsLeft(t *testing.T, server *redistest.Server) {
	t.Helper()
	client := server.Client()
	if keys := redistest.Keys(t, client, "clock"); !slices.Equal(keys, []string{"{clock}:seq"}) {
		t.Errorf("%q are left", keys)
	}
	if left := client.PTTL(t.Context(), "{clock}:seq").Val(); left < 50*time.Minute || left > 70*time.Minute {
		t.Errorf("seq has %v to go, and is an hour ahead", left)
	}
}

// It is set right after an hour in which it was ahead, while the lock is in use: no
// ticket loses anything, and tokens go on from where they were.
func TestR37ClockSetBack(t *testing.T) {
	t.Parallel()
	server, clock := startWithClock(t)
	clock.set(time.Hour)
	l := faulttest.NewLine(t, harness.Redis(server.Addr, "clock", faulttest.LongLease), 4)
	clock.set(0)
	l.Workers[0].Write()
	l.Workers[0].MustUnlock()
	l.Calls[0] = l.Workers[0].Lock()
	l.Calls[0].Registered()
	l.Calls = append(l.Calls[1:], l.Calls[0])
	l.Workers = append(l.Workers[1:], l.Workers[0])
	l.Drain(t, 0)
	if v := l.Check(); v.LostHolds+v.Evicted != 0 {
		t.Errorf("%v; want that nobody loses the lock", v)
	}
	checkSeqIsLeft(t, server)
}

// It is set back when a holder and a waiter have died: by the server's clock
// their leases have an hour to go, but no lease is longer than it was made.
func TestR37ClockSetBackForTheDead(t *testing.T) {
	t.Parallel()
	faulttest.InTheEnd(t, func() (quick bool) { return clockSetBackForTheDead(t) })
}

func clockSetBackForTheDead(t *testing.T) (quick bool) {
	t.Helper()
	const lease = 5 * time.Second
	server, clock := startWithClock(t)
	clock.set(time.Hour)
	l := faulttest.NewLine(t, harness.Redis(server.Addr, "clock", lease), 3)
	l.Workers[0].Kill()
	l.Workers[1].Kill()
	died := harness.Event{At: harness.Now()}
	clock.set(0)
	gap := faulttest.Since(died, l.Calls[2].Granted())
	t.Logf("the next owns after %v, with leases of %v", gap, lease)
	l.Workers[2].MustUnlock()
	l.Check()
	checkSeqIsLeft(t, server)
	return gap <= 2*lease+faulttest.Soon
}

// The same where no ticket waits, and a caller calls TryLock from time to time.
func TestR37ClockSetBackForThoseWhoTry(t *testing.T) {
	t.Parallel()
	faulttest.InTheEnd(t, func() (quick bool) { return clockSetBackForThoseWhoTry(t) })
}

func clockSetBackForThoseWhoTry(t *testing.T) (quick bool) {
	t.Helper()
	const lease = 2 * time.Second
	server, clock := startWithClock(t)
	clock.set(time.Hour)
	l := faulttest.NewLine(t, harness.Redis(server.Addr, "clock", lease), 1)
	l.Workers[0].Kill()
	clock.set(0)
	m := lock.New(redisqueue.New(server.Client(), "clock"))
	for died := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		ok, err := m.TryLock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			break
		}
		if time.Since(died) > lease+faulttest.Soon {
			t.Logf("not to be had %v after the holder died, with a lease of %v", time.Since(died), lease)
			return false
		}
	}
	if err := m.Unlock(); err != nil {
		t.Fatal(err)
	}
	checkSeqIsLeft(t, server)
	return true
}
