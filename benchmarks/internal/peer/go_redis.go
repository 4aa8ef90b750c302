package peer

import (
	"context"
	"errors"
	"net"

	"github.com/redis/go-redis/v9"
)

// redisClient returns a go-redis client with the default settings, the same for every
// peer that uses it. Its commands are counted.
func (l *Lock) redisClient(site Site) *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: site.Redis})
	client.AddHook(commandHook{l})
	l.onClose(client.Close)
	return client
}

// commandHook counts the commands that are sent, and notes arrivals. Those that set up a
// connection are neither counted nor an arrival: a call that needs a new connection would
// arrive before it has asked for the lock. The commands of a subscription pass by the
// hook: SUBSCRIBE once, and PING now and then.
type commandHook struct{ lock *Lock }

// DialHook implements [redis.Hook].
func (h commandHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements [redis.Hook].
func (h commandHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if setsUpConnection(cmd) {
			return next(ctx, cmd)
		}
		h.lock.operations.Add(1)
		err := next(ctx, cmd)
		if err == nil || errors.Is(err, redis.Nil) { // not a script that must be sent again in full
			arrived(ctx)
		}
		return err
	}
}

// ProcessPipelineHook implements [redis.Hook]. A pipeline is one round trip.
func (h commandHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if len(cmds) > 0 && !setsUpConnection(cmds[0]) {
			h.lock.operations.Add(1)
			h.lock.further.Add(int64(len(cmds) - 1))
		}
		return next(ctx, cmds)
	}
}

func setsUpConnection(cmd redis.Cmder) bool {
	switch cmd.Name() {
	case "hello", "auth", "client", "select", "readonly":
		return true
	}
	return false
}
