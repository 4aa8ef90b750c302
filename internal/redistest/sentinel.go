package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// SentinelName is what the sentinels call the primary.
const SentinelName = "fifolock"

// How long the primary must be silent until a sentinel misses it: on its own, and, at
// least, while AwaitFailover waits.
const (
	downAfter       = 60 * time.Second
	downAfterFailed = 500 * time.Millisecond
)

// quorum is how many of the three sentinels must miss the primary.
const quorum = 2

// Sentinel is a primary and a replica, and three sentinels that put the replica
// in the primary's place when the primary has failed and AwaitFailover is called. A
// primary that is slow by chance stays the primary.
type Sentinel struct {
	Addrs   []string // of the sentinels
	Primary *Server  // at first
	Replica *Server  // at first

	// PrimaryAddr is where the sentinels say that the first primary is.
	PrimaryAddr string

	// Network is between the first primary and all that go to PrimaryAddr: the sentinels,
	// the replica, and clients. It is nil if there is none.
	Network *Proxy

	tb testing.TB
}

// StartSentinel starts a primary, a replica and three sentinels for one test.
// The arguments are those of the first two.
func StartSentinel(tb testing.TB, args ...string) *Sentinel {
	tb.Helper()
	return startSentinel(tb, false, args)
}

// StartDividedSentinel is StartSentinel with a network in front of the primary. A failure
// of the network divides the primary, and the clients that are connected to it directly,
// from all the others.
func StartDividedSentinel(tb testing.TB, args ...string) *Sentinel {
	tb.Helper()
	return startSentinel(tb, true, args)
}

func startSentinel(tb testing.TB, divided bool, args []string) *Sentinel {
	tb.Helper()
	args = append(replicating[:len(replicating):len(replicating)], args...)
	s := &Sentinel{tb: tb, Primary: StartServer(tb, args...)}
	s.PrimaryAddr = s.Primary.Addr
	if divided {
		s.Network = NewProxy(tb, s.Primary.Addr)
		s.PrimaryAddr = s.Network.Addr
	}
	host, port, err := net.SplitHostPort(s.PrimaryAddr)
	if err != nil {
		tb.Fatal(err)
	}
	if divided { // or it would be known by two addresses
		for key, value := range map[string]string{"replica-announce-ip": host, "replica-announce-port": port} {
			if err := s.Primary.Client().ConfigSet(context.Background(), key, value).Err(); err != nil {
				tb.Fatal(err)
			}
		}
	}
	s.Replica = StartServer(tb, append(args, "--replicaof", host, port)...)
	AwaitReplica(tb, s.Primary, s.Replica)
	for range 3 {
		s.startSentry(host, port)
	}
	s.awaitAgreement()
	return s
}

func (s *Sentinel) startSentry(host, port string) {
	s.tb.Helper()
	file := filepath.Join(s.tb.TempDir(), "sentinel.conf")
	text := fmt.Sprintf(`sentinel monitor %[1]s %[2]s %[3]s %[4]d
sentinel down-after-milliseconds %[1]s %[5]d
sentinel failover-timeout %[1]s 2000
`, SentinelName, host, port, quorum, downAfter.Milliseconds())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.tb.Fatal(err)
	}
	sentry := StartServer(s.tb, file, "--sentinel")
	s.Addrs = append(s.Addrs, sentry.Addr)
	// What is to come need not take as long as it does by default. TILT is what
	// a sentinel falls into on a machine that is busy. Redis before 7.0 has no
	// such command.
	_ = sentry.Client().Do(context.Background(), "SENTINEL", "DEBUG",
		"info-period", 100, "ping-period", 500, "ask-period", 100, "publish-period", 100,
		"min-link-reconnect-period", 500, "tilt-period", 500, "election-timeout", 2000).Err()
}

// sentry returns a client of a sentinel that is closed with the test.
func (s *Sentinel) sentry(i int) *redis.SentinelClient {
	client := redis.NewSentinelClient(&redis.Options{Addr: s.Addrs[i]})
	s.tb.Cleanup(func() { _ = client.Close() })
	return client
}

// awaitAgreement waits until the sentinels know each other and the replica.
func (s *Sentinel) awaitAgreement() {
	s.tb.Helper()
	for i := range s.Addrs {
		sentry := s.sentry(i)
		until(s.tb, "sentinels that know each other", func(ctx context.Context) bool {
			others := sentry.Sentinels(ctx, SentinelName).Val()
			replicas := sentry.Replicas(ctx, SentinelName).Val()
			return len(others) == len(s.Addrs)-1 && len(replicas) == 1 &&
				replicas[0]["flags"] == "slave" && replicas[0]["master-link-status"] == "ok" &&
				sentry.CkQuorum(ctx, SentinelName).Err() == nil
		})
	}
}

// AwaitFailover has the sentinels miss the primary, which has failed, and waits until the
// replica is the primary, and all sentinels say so.
func (s *Sentinel) AwaitFailover() {
	s.tb.Helper()
	// Sentinels take no replica that had lost its primary more than ten times that silence
	// before they missed the primary (Redis's documentation of Sentinel, "Replica
	// selection"). One that lagged under load had, and no failover came.
	s.missAfter(downAfterFailed + s.lag()/5)
	defer s.missAfter(downAfter)
	AwaitPrimary(s.tb, s.Replica)
	for i := range s.Addrs {
		sentry := s.sentry(i)
		until(s.tb, "sentinels that know the new primary", func(ctx context.Context) bool {
			host, port, err := net.SplitHostPort(s.Replica.Addr)
			at := sentry.GetMasterAddrByName(ctx, SentinelName).Val()
			return err == nil && len(at) == 2 && at[0] == host && at[1] == port
		})
	}
}

// AwaitLag waits until the replica has been without its primary so long that no sentinel
// would take it, if AwaitFailover did not see to it.
func (s *Sentinel) AwaitLag() {
	s.tb.Helper()
	until(s.tb, "a replica that lags", func(context.Context) bool { return s.lag() > 10*downAfterFailed })
}

// lag returns for how long the replica has been without its primary, in whole seconds.
func (s *Sentinel) lag() time.Duration {
	since := replicationInfo(context.Background(), s.Replica.Client())["master_link_down_since_seconds"]
	seconds, _ := strconv.Atoi(since) // there is no such line while it has it
	return time.Duration(max(seconds, 0)) * time.Second
}

// missAfter sets for how long a server must be silent until the sentinels miss it.
func (s *Sentinel) missAfter(silence time.Duration) {
	s.tb.Helper()
	for i := range s.Addrs {
		milliseconds := strconv.FormatInt(silence.Milliseconds(), 10)
		if err := s.sentry(i).Set(context.Background(), SentinelName, "down-after-milliseconds", milliseconds).Err(); err != nil {
			s.tb.Fatal(err)
		}
	}
}
