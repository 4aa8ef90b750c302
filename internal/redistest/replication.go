package redistest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Replicas log in as this user, so that they can be kept out and no other client is.
const (
	replicationUser     = "replication"
	replicationPassword = "secret"
)

// replicating are the arguments of a server that is a primary or a replica, now
// or later.
var replicating = []string{
	"--user", replicationUser, "on", ">" + replicationPassword, "~*", "&*", "+@all",
	"--masteruser", replicationUser, "--masterauth", replicationPassword,
	"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1",
}

// patience is how long something may take that has to come.
const patience = 60 * time.Second

// until waits until the condition holds, and fails the test if it never does.
func until(tb testing.TB, what string, condition func(ctx context.Context) bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for pause := 5 * time.Millisecond; !condition(ctx); pause = min(2*pause, 50*time.Millisecond) {
		if ctx.Err() != nil {
			tb.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(pause)
	}
}

// replicationInfo is what a server says of its replication.
func replicationInfo(ctx context.Context, client *redis.Client) map[string]string {
	return client.InfoMap(ctx, "replication").Val()["Replication"]
}

// AwaitReplica waits until a replica is connected and has all that the primary
// had when this was called.
func AwaitReplica(tb testing.TB, primary, replica *Server) {
	tb.Helper()
	of, from := replica.Client(), primary.Client()
	until(tb, "a replica with all data", func(ctx context.Context) bool {
		info := replicationInfo(ctx, of)
		return info["master_link_status"] == "up" &&
			info["master_repl_offset"] == replicationInfo(ctx, from)["master_repl_offset"]
	})
}

// HoldReplication keeps the replicas of a primary away from it: from now on they
// lag, and what is written is lost when one of them becomes the primary. It
// returns when no replica is connected.
func HoldReplication(tb testing.TB, primary *Server) {
	tb.Helper()
	client := primary.Client()
	if err := client.ACLDelUser(context.Background(), replicationUser).Err(); err != nil {
		tb.Fatal(err)
	}
	until(tb, "a primary without replicas", func(ctx context.Context) bool {
		return replicationInfo(ctx, client)["connected_slaves"] == "0"
	})
}

// AwaitPrimary waits until the server, which was a replica, is the primary. It logs that:
// internal/evidence counts failovers.
func AwaitPrimary(tb testing.TB, server *Server) {
	tb.Helper()
	client := server.Client()
	until(tb, "a new primary", func(ctx context.Context) bool {
		return strings.HasPrefix(replicationInfo(ctx, client)["role"], "master")
	})
	tb.Logf("failover: %s is the primary", server.Addr)
}
