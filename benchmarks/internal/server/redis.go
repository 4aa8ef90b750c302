package server

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

func startRedis(dir string) (*running, error) {
	path, err := find("redis-server")
	if err != nil {
		return nil, err
	}
	p, addr, err := onFreePort(func(port string) (*process, error) {
		p, err := start("redis-server", filepath.Join(dir, "redis.log"), nil,
			path, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "no")
		if err != nil {
			return nil, err
		}
		return p, p.await(func() error { return isOurs(p, "127.0.0.1:"+port) })
	})
	if err != nil {
		return nil, err
	}
	return &running{process: p, addr: addr, version: version(path)}, nil
}

func isOurs(p *process, addr string) error {
	info, err := redisInfo(addr, "server")
	if err == nil && info["Server"]["process_id"] != strconv.Itoa(p.cmd.Process.Pid) {
		err = fmt.Errorf("another server has the port")
	}
	return err
}

// redisInfo asks on a connection of its own, so that nothing of it is counted
// or kept open.
func redisInfo(addr, section string) (map[string]map[string]string, error) {
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	defer client.Close()
	return client.InfoMap(context.Background(), section).Result()
}

// redisCPU is what INFO says the server has used, in user and system mode.
func redisCPU(addr string) (time.Duration, error) {
	info, err := redisInfo(addr, "cpu")
	if err != nil {
		return 0, err
	}
	var total float64
	for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
		seconds, err := strconv.ParseFloat(info["CPU"][field], 64)
		if err != nil {
			return 0, fmt.Errorf("INFO cpu: %s: %w", field, err)
		}
		total += seconds
	}
	return time.Duration(total * float64(time.Second)), nil
}

// RedisConnections is how many connections the server has, but for the one
// that asks.
func RedisConnections(addr string) (int, error) {
	info, err := redisInfo(addr, "clients")
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(info["Clients"]["connected_clients"])
	return n - 1, err
}
