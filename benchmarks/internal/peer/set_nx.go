package peer

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// setNX is the simplest lock on Redis, SET NX and DEL: what the round trips alone cost.
// It does not wait, and its DEL does not look for the owner.
type setNX struct {
	client *redis.Client
	name   string
	o      Options
}

// Lock implements [Locker].
func (l setNX) Lock(ctx context.Context) error {
	ok, err := l.client.SetNX(ctx, l.name, "owner", l.o.Lease).Result()
	if err == nil && !ok {
		err = errors.New("SET NX: somebody has the lock, and this one does not wait")
	}
	return err
}

// Unlock implements [Locker].
func (l setNX) Unlock() error { return l.client.Del(context.Background(), l.name).Err() }

func openSetNX(_ context.Context, site Site, o Options) (*Lock, error) {
	l := &Lock{}
	l.shared(setNX{l.redisClient(site), o.Name, o})
	return l, nil
}
