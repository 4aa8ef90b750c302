package queue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/queuetest"
)

// startCluster starts a Cluster of one node, which refuses keys of different
// slots in one script as any Cluster does.
func startCluster(t *testing.T) *redis.ClusterClient {
	t.Helper()
	server := redistest.StartServer(t, "--cluster-enabled", "yes")
	node := server.Client()
	if err := node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(node.ClusterInfo(t.Context()).Val(), "cluster_state:ok") {
		time.Sleep(pause)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr}})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestRedisConformanceCluster(t *testing.T) {
	client := startCluster(t)
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return queue.NewRedis(client, redistest.Name(t))
	})
}
