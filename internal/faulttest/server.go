//go:build linux

package faulttest

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue/redisqueue"
)

// Do has the server execute a command, of words.
func Do(t *testing.T, client redis.UniversalClient, command string) any {
	t.Helper()
	var args []any
	for word := range strings.FieldsSeq(command) {
		args = append(args, word)
	}
	v, err := client.Do(t.Context(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("%s: %v", command, err)
	}
	return v
}

// ScriptCalls is how many scripts clients have called: the commands inside of
// them are not counted.
func ScriptCalls(t *testing.T, client *redis.Client) (n int) {
	t.Helper()
	stats, err := client.InfoMap(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range stats["Commandstats"] {
		if name != "cmdstat_evalsha" && name != "cmdstat_eval" {
			continue
		}
		calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
		k, err := strconv.Atoi(calls)
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	return n
}

// listener is a hook of a client that keeps the first arguments of its commands.
type listener struct {
	mu   sync.Mutex
	seen []string
}

func (*listener) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *listener) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		l.note(cmd)
		return next(ctx, cmd)
	}
}

func (l *listener) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			l.note(cmd)
		}
		return next(ctx, cmds)
	}
}

func (l *listener) note(cmd redis.Cmder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if args := cmd.Args(); cmd.Name() == Script && len(args) > 1 {
		if hash, ok := args[1].(string); ok {
			l.seen = append(l.seen, hash)
		}
	}
}

// ReleaseHash is in every request that releases a ticket with another one behind
// it, and in none that looks at the line.
func ReleaseHash(t *testing.T, client *redis.Client) string {
	t.Helper()
	q := redisqueue.New(client, "release-hash")
	first, second := MustRegister(t, q), MustRegister(t, q)
	var l listener
	client.AddHook(&l)
	if err := q.Release(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := q.Release(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) == 0 {
		t.Fatal("Release has called no script by its hash")
	}
	return l.seen[0]
}
