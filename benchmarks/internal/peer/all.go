package peer

import (
	"fmt"
	"slices"
	"time"

	"github.com/fifolock/fifolock/queue/redisqueue"
)

// Names of the peers.
const (
	FifolockRedis      = "fifolock-redis"
	FifolockRedisCrash = "fifolock-redis-crash-detection"
	FifolockFile       = "fifolock-file"
	FifolockFileInUse  = "fifolock-file-in-use"
	FifolockMemory     = "fifolock-memory"
	Redislock1ms       = "redislock-1ms"
	Redislock50ms      = "redislock-50ms"
	Redsync            = "redsync"
	Redsync1ms         = "redsync-1ms"
	Rueidislock        = "rueidislock"
	RueidislockNoLoop  = "rueidislock-noloop"
	SetNX              = "set-nx"
	EtcdMutex          = "etcd"
	PostgresAdvisory   = "postgres"
	Flock              = "flock"
	GofrsPolling       = "gofrs-flock-1ms"
	GofrsBlocking      = "gofrs-flock-blocking"
	SyncMutex          = "sync-mutex"
	SyncSemaphore      = "sync-semaphore"
	EarlierRedis       = "fifolock-redis-earlier"
	EarlierFile        = "fifolock-file-earlier"
)

// All returns every peer, in the order of the tables: those on one backend
// together, fifolock first, limits last.
func All() []Peer {
	return []Peer{
		{Name: FifolockRedis, Title: "fifolock on Redis", Backend: Redis, Fair: true, Processes: true, Semaphore: true, open: openFifolockRedis(),
			About: "`lock.New(redisqueue.New(…))`"},
		{Name: FifolockRedisCrash, Title: "fifolock on Redis, crash detection", Backend: Redis, Fair: true, Processes: true, DetectsCrashes: true, Named: true,
			open:  openFifolockRedis(redisqueue.WithCrashDetection(time.Second)),
			About: "the same with `redisqueue.WithCrashDetection(time.Second)`"},
		{Name: EarlierRedis, Title: "fifolock on Redis, earlier", Backend: Redis, Fair: true, Processes: true, Earlier: FifolockRedis,
			About: "fifolock as it was in the revision of `-earlier`, in a process of its own"},
		{Name: Redislock1ms, Title: "bsm/redislock, polls every 1 ms", Backend: Redis, Processes: true, Semaphore: true, open: openRedislock(time.Millisecond),
			About: "`bsm/redislock`, polling every 1 ms"},
		{Name: Redislock50ms, Title: "bsm/redislock, polls every 50 ms", Backend: Redis, Processes: true, Semaphore: true, open: openRedislock(50 * time.Millisecond),
			About: "`bsm/redislock`, polling every 50 ms"},
		{Name: Redsync, Title: "redsync, polls every 50 to 250 ms", Backend: Redis, Processes: true, open: openRedsync(0),
			About: "`go-redsync/redsync`, one server, its default polling (50 to 250 ms)"},
		{Name: Redsync1ms, Title: "redsync, polls every 1 ms", Backend: Redis, Processes: true, open: openRedsync(time.Millisecond),
			About: "`go-redsync/redsync`, one server, polling every 1 ms"},
		{Name: Rueidislock, Title: "rueidislock", Backend: Redis, Processes: true, open: openRueidislock(false),
			About: "`redis/rueidis/rueidislock`, told by client-side caching; one key"},
		{Name: RueidislockNoLoop, Title: "rueidislock, NoLoopTracking", Backend: Redis, Processes: true, open: openRueidislock(true),
			About: "the same with `NoLoopTracking`, as its README has it"},
		{Name: EtcdMutex, Title: "etcd concurrency.Mutex", Backend: Etcd, Fair: true, Processes: true, open: openEtcd,
			About: "`concurrency.Mutex` of etcd, one node, a session for each goroutine"},
		{Name: PostgresAdvisory, Title: "PostgreSQL advisory lock", Backend: Postgres, Fair: true, Processes: true, open: openPostgres,
			About: "`pg_advisory_lock` through `jackc/pgx`, a connection for each goroutine"},
		{Name: SetNX, Title: "SET NX and DEL", Backend: Redis, Processes: true, Limit: true, AloneOnly: true, open: openSetNX,
			About: "`SET NX PX` and `DEL` through go-redis: the round trips alone"},

		{Name: FifolockFile, Title: "fifolock in files", Backend: Files, Fair: true, Processes: true, Semaphore: true, open: openFifolockFile,
			About: "`lock.New(filequeue.New(…))`"},
		{Name: EarlierFile, Title: "fifolock in files, earlier", Backend: Files, Fair: true, Processes: true, Earlier: FifolockFile,
			About: "the same of `-earlier`"},
		{Name: FifolockFileInUse, Title: "Register and Release of fifolock's file queue, in use", Backend: Files, Processes: true, AloneOnly: true, open: openFifolockFileInUse,
			About: "`Register` and `Release` of a file queue that another ticket keeps in use"},
		{Name: GofrsPolling, Title: "gofrs/flock, polls every 1 ms", Backend: Files, Processes: true, Semaphore: true, open: openGofrsFlock(time.Millisecond),
			About: "`gofrs/flock`, `TryLockContext` every 1 ms"},
		{Name: GofrsBlocking, Title: "gofrs/flock, blocking", Backend: Files, Processes: true, open: openGofrsFlock(0),
			About: "`gofrs/flock`, blocking: a thread for each waiter, and no ctx"},
		{Name: Flock, Title: "flock(2), blocking", Backend: Files, Processes: true, Limit: true, open: openFlock,
			About: "`flock(2)` on a file that stays open, blocking"},

		{Name: FifolockMemory, Title: "fifolock in memory", Backend: Memory, Fair: true, Semaphore: true, Limit: true, open: openFifolockMemory,
			About: "`lock.Mutex` on a queue in memory: what the lock costs without storage"},
		{Name: SyncMutex, Title: "sync.Mutex", Backend: Memory, Limit: true, open: openSyncMutex,
			About: "`sync.Mutex`"},
		{Name: SyncSemaphore, Title: "x/sync/semaphore", Backend: Memory, Fair: true, Semaphore: true, Limit: true, Named: true, open: openSyncSemaphore,
			About: "`golang.org/x/sync/semaphore`"},
	}
}

// Find returns the peer of that name.
func Find(name string) (Peer, error) {
	all := All()
	i := slices.IndexFunc(all, func(p Peer) bool { return p.Name == name })
	if i < 0 {
		return Peer{}, fmt.Errorf("there is no peer %q", name)
	}
	return all[i], nil
}
