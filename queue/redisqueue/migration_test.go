package redisqueue_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// startTwoNodes starts a Cluster of two nodes; the first has all the slots.
func startTwoNodes(t *testing.T) (from, to *redis.Client, cluster *redis.ClusterClient) {
	t.Helper()
	first := redistest.StartServer(t, "--cluster-enabled", "yes")
	second := redistest.StartServer(t, "--cluster-enabled", "yes")
	from, to = first.Client(), second.Client()
	if err := from.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	// Without an epoch of its own, the second could not take over a slot.
	if err := to.Do(t.Context(), "CLUSTER", "SET-CONFIG-EPOCH", 2).Err(); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(second.Addr)
	if err := from.ClusterMeet(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	for _, node := range []*redis.Client{from, to} {
		for {
			info := node.ClusterInfo(t.Context()).Val()
			if strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:2") {
				break
			}
			time.Sleep(pause)
		}
	}
	cluster = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{first.Addr}})
	t.Cleanup(func() { _ = cluster.Close() })
	return from, to, cluster
}

// While a slot moves, the leases of others may still be where the line has
// come from. That a lease is not here is no sign of death then:
//
//  1. A holds, B waits. The slot moves; the line and B's lease have arrived,
//     A's lease has not.
//  2. B looks. It must not be told that it is the head.
//  3. The slot has moved. A is still there, and releases.
func TestSlotMoves(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	from, to, cluster := startTwoNodes(t)
	const name = "moving"
	q := redisqueue.New(cluster, name)
	holder, waiter := mustRegister(t, q), mustRegister(t, q)

	slot := from.ClusterKeySlot(t.Context(), "{"+name+"}").Val()
	fromID, toID := from.Do(t.Context(), "CLUSTER", "MYID").Val(), to.Do(t.Context(), "CLUSTER", "MYID").Val()
	do := func(node *redis.Client, args ...any) {
		t.Helper()
		if err := node.Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	host, port, _ := net.SplitHostPort(to.Options().Addr)
	migrate := func(keys ...string) {
		t.Helper()
		do(from, append([]any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}, anys(keys)...)...)
	}
	do(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	do(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	migrate("{"+name+"}:queue", "{"+name+"}:seq", leaseKey(name, waiter))

	for call, f := range calls(q, waiter) {
		switch call {
		case "Watch", "Release", "Remove", "MaybeCleanup":
			continue // leaves, or does not ask
		}
		ctx, cancel := context.WithTimeout(t.Context(), 4*shortly) // Register would wait
		err := f(ctx)
		cancel()
		if err == nil && call != "Members" && call != "IsEmpty" {
			t.Errorf("%s succeeded while the holder's lease was elsewhere", call)
		}
	}
	if head, err := q.IsHead(t.Context(), waiter); head {
		t.Errorf("IsHead = %v, %v while another holds", head, err)
	}

	migrate(leaseKey(name, holder))
	do(to, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	do(from, "CLUSTER", "SETSLOT", slot, "NODE", toID)
	wantHead(t, q, holder)
	mustRelease(t, q, holder)
	wantHead(t, q, waiter)
	mustRelease(t, q, waiter)
}
