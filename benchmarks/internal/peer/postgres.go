package peer

import (
	"context"
	"hash/fnv"

	"github.com/jackc/pgx/v5"
)

// postgresLocker is pg_advisory_lock on a connection of its own: the lock
// belongs to the connection.
type postgresLocker struct {
	lock *Lock
	conn *pgx.Conn
	key  int64
}

// Lock implements [Locker].
func (l *postgresLocker) Lock(ctx context.Context) error {
	return l.exec(ctx, "select pg_advisory_lock($1)")
}

// Unlock implements [Locker].
func (l *postgresLocker) Unlock() error {
	return l.exec(context.Background(), "select pg_advisory_unlock($1)")
}

func (l *postgresLocker) exec(ctx context.Context, query string) error {
	l.lock.operations.Add(1)
	_, err := l.conn.Exec(ctx, query, l.key)
	return err
}

func openPostgres(_ context.Context, site Site, o Options) (*Lock, error) {
	l := &Lock{}
	hash := fnv.New64a()
	hash.Write([]byte(o.Name))
	key := int64(hash.Sum64())
	l.newWaiter = func(ctx context.Context) (Locker, error) {
		conn, err := pgx.Connect(ctx, site.Postgres)
		if err != nil {
			return nil, err
		}
		l.onClose(func() error { return conn.Close(context.Background()) })
		return &postgresLocker{l, conn, key}, nil
	}
	return l, nil
}
