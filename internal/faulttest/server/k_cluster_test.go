//go:build linux

package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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

// wrapper is a client as a program makes one to add something of its own: it hides
// what is not in the interface.
type wrapper struct{ redis.UniversalClient }

const (
	nodesVariable = "FIFOLOCK_TEST_K12_NODES"
	wrapperReady  = "one holds and one waits"
)

// A ClusterClient inside a wrapper, which hides ReloadState, and the primary dies:
//
//  1. A holds, B waits, through the wrapped client.
//  2. The primary of the slot is killed; there is no replica.
//  3. A is told of the loss when its lease has run out; B's call ends with its ctx.
//
// No goroutine of ours panics, which would end the process; so it is one of its own.
// (How long the queue is not found again is documented at redisqueue.Queue.)
func TestK12WrappedCluster(t *testing.T) {
	if nodes := os.Getenv(nodesVariable); nodes != "" {
		useWrappedCluster(t, strings.Split(nodes, ","))
		return
	}
	t.Parallel()
	c := redistest.StartCluster(t, false, neverDown)
	h := clusterQueue(c, faulttest.LongLease)
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), nodesVariable+"="+strings.Join(append(c.Addrs(), h.spec.Name), ","))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		t.Log(lines.Text())
		if strings.Contains(lines.Text(), wrapperReady) {
			ready = true
			c.Primaries[h.place].Kill()
			c.SetNodeTimeout(nodeTimeout)
		}
	}
	if err := cmd.Wait(); err != nil || !ready {
		t.Errorf("a process with a wrapped ClusterClient ended with %v; it was ready: %v", err, ready)
	}
}

// useWrappedCluster is the process. The last of the words is the queue's name.
func useWrappedCluster(t *testing.T, words []string) {
	const lease, patience = faulttest.LongLease, 2 * faulttest.LongLease
	nodes, name := words[:len(words)-1], words[len(words)-1]
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes})
	defer client.Close()
	q := redisqueue.New(wrapper{client}, name, redisqueue.WithLease(lease))
	a, b := lock.New(q), lock.New(q)
	faulttest.MustLock(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	waiting := faulttest.Lock(ctx, t, b)
	faulttest.AwaitLine(t, q, 2)
	fmt.Println(wrapperReady)
	<-a.Lost()
	if err := waiting.Returned(); err == nil {
		t.Error("Lock returned nil, and there is no server")
	}
	if err := a.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
}
