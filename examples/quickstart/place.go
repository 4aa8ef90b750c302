package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// redisLease is how long Redis believes a process that has fallen silent. It is
// short, so that the demonstration does not wait the usual 30 s for the lease
// of the killed process.
const redisLease = 2 * time.Second

// place is where a run keeps its things. It is plain data, so that it can be
// handed to a worker process as JSON.
type place struct {
	Dir   string // made for this run
	Redis string // host:port, or empty for a queue in Dir
	Name  string // of the queue in Redis, nobody else's
}

func newPlace(s settings) (*place, error) {
	dir, err := os.MkdirTemp(s.dir, "fifolock-quickstart-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a directory for the run: %w", err)
	}
	p := &place{Dir: dir, Redis: s.redis, Name: filepath.Base(dir)}
	if err := os.WriteFile(p.numberFile(), []byte("0"), 0o600); err != nil {
		p.remove()
		return nil, err
	}
	return p, nil
}

// remove removes the directory with everything in it, after the run was judged.
func (p *place) remove() { os.RemoveAll(p.Dir) }

func (p *place) numberFile() string { return filepath.Join(p.Dir, "number") }
func (p *place) queueDir() string   { return filepath.Join(p.Dir, "queue") }

func (p *place) queueName() string {
	if p.Redis != "" {
		return fmt.Sprintf("%s in Redis at %s, with a lease of %v", p.Name, p.Redis, redisLease)
	}
	return "the directory " + p.queueDir()
}

// openQueue returns the queue, and what closes its connections.
func (p *place) openQueue() (q queue.TicketQueue, closeQueue func()) {
	if p.Redis == "" {
		return filequeue.New(p.queueDir()), func() {}
	}
	client := redis.NewClient(&redis.Options{Addr: p.Redis})
	q = redisqueue.New(client, p.Name, redisqueue.WithLease(redisLease))
	return q, func() { client.Close() }
}

// leftovers lists what the queue has left behind: on disk, or in Redis.
func (p *place) leftovers(ctx context.Context) ([]string, error) {
	if p.Redis != "" {
		return p.redisKeys(ctx)
	}
	entries, err := os.ReadDir(p.queueDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	left := []string{p.queueDir()}
	for _, e := range entries {
		left = append(left, filepath.Join(p.queueDir(), e.Name()))
	}
	return left, err
}

func (p *place) redisKeys(ctx context.Context) ([]string, error) {
	client := redis.NewClient(&redis.Options{Addr: p.Redis})
	defer client.Close()
	var keys []string
	scan := client.Scan(ctx, 0, "*"+p.Name+"*", 1000).Iterator()
	for scan.Next(ctx) {
		keys = append(keys, scan.Val())
	}
	return keys, scan.Err()
}
