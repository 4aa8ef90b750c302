//go:build linux

package harness

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ringHeartbeat is how often a Ring looks whether its shards are there. After
// three times without an answer one is down.
const ringHeartbeat = 100 * time.Millisecond

// client returns a client of the servers of the spec.
func (s Spec) client() redis.UniversalClient {
	switch {
	case s.Sentinels != nil:
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: s.Primary, SentinelAddrs: s.Sentinels, DB: s.DB, Protocol: s.Protocol, MaxRetries: s.MaxRetries,
			ReadTimeout: s.Timeout, WriteTimeout: s.Timeout,
		})
	case s.Nodes != nil:
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: s.Nodes, Protocol: s.Protocol,
			ReadTimeout: s.Timeout, WriteTimeout: s.Timeout,
		})
	case s.Shards != nil:
		addrs := make(map[string]string)
		for i, addr := range s.Shards {
			addrs[strconv.Itoa(i)] = addr
		}
		return redis.NewRing(&redis.RingOptions{
			Addrs: addrs, HeartbeatFrequency: ringHeartbeat,
			DB: s.DB, Protocol: s.Protocol, MaxRetries: s.MaxRetries,
			ReadTimeout: s.Timeout, WriteTimeout: s.Timeout,
		})
	}
	return redis.NewClient(&redis.Options{
		Addr: s.Addr,
		DB:   s.DB, Protocol: s.Protocol, MaxRetries: s.MaxRetries,
		ReadTimeout: s.Timeout, WriteTimeout: s.Timeout,
	})
}

// keys lists the queue's keys on all servers.
func (s Spec) keys(ctx context.Context) ([]string, error) {
	client := s.client()
	defer client.Close()
	var mu sync.Mutex
	var keys []string
	scan := func(ctx context.Context, client *redis.Client) error {
		all := client.Scan(ctx, 0, "{"+s.Name+"}:*", 1000).Iterator()
		for all.Next(ctx) {
			mu.Lock()
			keys = append(keys, all.Val())
			mu.Unlock()
		}
		return all.Err()
	}
	var err error
	switch client := client.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, scan)
	case *redis.Ring:
		err = client.ForEachShard(ctx, scan)
	case *redis.Client:
		err = scan(ctx, client)
	}
	return keys, err
}
