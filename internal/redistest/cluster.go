package redistest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	shards = 3 // of a Cluster
	slots  = 16384
)

// Cluster is a Redis Cluster of three primaries, and a replica for each of them
// if they are asked for.
type Cluster struct {
	Primaries []*Server // at first
	Replicas  []*Server // of the primary at the same place; or none

	tb    testing.TB
	nodes []*node

	migrating sync.Mutex // held while a key moves
}

// node is a server of the Cluster, and how the others call it.
type node struct {
	*Server
	id     string
	client *redis.Client
}

// StartCluster starts a Cluster for one test, with a replica for each primary
// or without. A node that does not answer for the timeout is held to be down.
func StartCluster(tb testing.TB, replicas bool, timeout time.Duration) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	args := append(replicating[:len(replicating):len(replicating)],
		"--cluster-enabled", "yes",
		"--cluster-node-timeout", strconv.FormatInt(timeout.Milliseconds(), 10),
		"--cluster-replica-validity-factor", "0", // a replica that lags may take over
		"--cluster-migration-barrier", "100", // and stays with its primary
	)
	count := shards
	if replicas {
		count *= 2
	}
	for range count {
		server := StartServer(tb, args...)
		c.nodes = append(c.nodes, &node{Server: server, client: server.Client()})
	}
	for _, n := range c.nodes {
		if len(c.Primaries) < shards {
			c.Primaries = append(c.Primaries, n.Server)
		} else {
			c.Replicas = append(c.Replicas, n.Server)
		}
	}
	if err := c.introduce(context.Background()); err != nil {
		tb.Fatal(err)
	}
	until(tb, "nodes that know each other", func(ctx context.Context) bool { return c.agree(ctx, count, shards) })
	for i, n := range c.nodes[shards:] {
		if err := n.client.ClusterReplicate(context.Background(), c.nodes[i].id).Err(); err != nil {
			tb.Fatal(err)
		}
	}
	for i, replica := range c.Replicas {
		AwaitReplica(tb, c.Primaries[i], replica)
	}
	until(tb, "a Cluster that is complete", func(ctx context.Context) bool { return c.agree(ctx, count, count) })
	return c
}

// introduce gives each primary its part of the slots and makes the nodes meet.
func (c *Cluster) introduce(ctx context.Context) error {
	first, port, err := net.SplitHostPort(c.nodes[0].Addr)
	if err != nil {
		return err
	}
	for i, n := range c.nodes {
		// Epochs of their own spare the nodes a quarrel about them.
		if err := n.client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		if n.id, err = n.client.ClusterMyID(ctx).Result(); err != nil {
			return err
		}
		if i < shards {
			from, to := i*slots/shards, (i+1)*slots/shards-1
			if err := n.client.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
				return err
			}
		}
		if err := n.client.ClusterMeet(ctx, first, port).Err(); err != nil {
			return err
		}
	}
	return nil
}

// agree reports whether every node knows all of them, that all slots are served,
// and so many nodes that serve them.
func (c *Cluster) agree(ctx context.Context, known, serving int) bool {
	for _, n := range c.nodes {
		info := n.client.ClusterInfo(ctx).Val()
		if !strings.Contains(info, "cluster_state:ok") ||
			!strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", known)) {
			return false
		}
		all := 0
		//lint:ignore SA1019 Redis 6.2 has no CLUSTER SHARDS
		for _, part := range n.client.ClusterSlots(ctx).Val() {
			all += len(part.Nodes)
		}
		if all != serving {
			return false
		}
	}
	return true
}

// Addrs returns the addresses of all nodes.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, n.Addr)
	}
	return addrs
}

// Client returns a client of the Cluster, closed with the test.
func (c *Cluster) Client(change ...func(*redis.ClusterOptions)) *redis.ClusterClient {
	c.tb.Helper()
	o := &redis.ClusterOptions{Addrs: c.Addrs()}
	for _, f := range change {
		f(o)
	}
	client := redis.NewClusterClient(o)
	c.tb.Cleanup(func() { _ = client.Close() })
	return client
}

// Slot returns the slot of a key.
func (c *Cluster) Slot(key string) int {
	c.tb.Helper()
	slot, err := c.nodes[0].client.ClusterKeySlot(context.Background(), key).Result()
	if err != nil {
		c.tb.Fatal(err)
	}
	return int(slot)
}

// Place returns which of the Primaries has the slot in the beginning.
func (c *Cluster) Place(slot int) int {
	for i := range shards {
		if slot < (i+1)*slots/shards {
			return i
		}
	}
	panic("redistest: there is no such slot")
}

// OpenSlot begins to move a slot from one primary to another: from now on, what
// is not at the one is asked of the other.
func (c *Cluster) OpenSlot(ctx context.Context, slot, from, to int) error {
	source, target := c.nodes[from], c.nodes[to]
	if err := target.client.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.id).Err(); err != nil {
		return err
	}
	return source.client.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.id).Err()
}

// MoveKey moves a key of an open slot, if it is there.
func (c *Cluster) MoveKey(ctx context.Context, key string, from, to int) error {
	host, port, err := net.SplitHostPort(c.nodes[to].Addr)
	if err != nil {
		return err
	}
	// Two nodes that migrate to each other at a time wait for each other until it is up.
	c.migrating.Lock()
	defer c.migrating.Unlock()
	return c.nodes[from].client.Migrate(ctx, host, port, key, 0, 5*time.Second).Err()
}

// CloseSlot ends the move of a slot, of which no key must be left.
func (c *Cluster) CloseSlot(ctx context.Context, slot, from, to int) error {
	all := []*node{c.nodes[to], c.nodes[from]} // in this order
	for i, n := range c.nodes[:shards] {
		if i != from && i != to {
			all = append(all, n)
		}
	}
	for _, n := range all {
		if err := n.client.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", c.nodes[to].id).Err(); err != nil {
			return err
		}
	}
	return nil
}

// MoveSlot moves a slot with all its keys. While the keys are on their way, they
// are at two places for as long as pause, if any, says after each of them.
func (c *Cluster) MoveSlot(ctx context.Context, slot, from, to int, pause func()) error {
	if err := c.OpenSlot(ctx, slot, from, to); err != nil {
		return err
	}
	for {
		keys, err := c.nodes[from].client.ClusterGetKeysInSlot(ctx, slot, 1).Result()
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return c.CloseSlot(ctx, slot, from, to)
		}
		if err := c.MoveKey(ctx, keys[0], from, to); err != nil {
			return err
		}
		if pause != nil {
			pause()
		}
	}
}

// SetNodeTimeout has the nodes that run hold one to be down that does not answer for the
// timeout. A test that lowers it does so when the node has failed, or one that is slow by
// chance would fail before.
func (c *Cluster) SetNodeTimeout(timeout time.Duration) {
	c.tb.Helper()
	milliseconds := strconv.FormatInt(timeout.Milliseconds(), 10)
	for _, n := range c.nodes {
		if n.process == nil {
			continue
		}
		if err := n.client.ConfigSet(context.Background(), "cluster-node-timeout", milliseconds).Err(); err != nil {
			c.tb.Fatal(err)
		}
	}
}

// AwaitState waits until all nodes that run say that the state of the Cluster is
// the given one, ok or fail.
func (c *Cluster) AwaitState(state string) {
	c.tb.Helper()
	until(c.tb, "a Cluster whose state is "+state, func(ctx context.Context) bool {
		for _, n := range c.nodes {
			if n.process != nil && !strings.Contains(n.client.ClusterInfo(ctx).Val(), "cluster_state:"+state) {
				return false
			}
		}
		return true
	})
}
