//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// The server crashes and has forgotten everything when it is back: the holder
// loses the lock, the others line up again, and tokens ascend.
func TestR01RestartWithoutData(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	l := faulttest.NewLine(t, harness.Redis(server.Addr, "restart", 5*time.Second), 4)
	server.Kill()
	server.Start()
	faulttest.WantLost(t, l.Workers[0])
	l.Drain(t, 1)
	l.Check()
	l.CheckNothingIsLeft()
}

// The server comes back with data from before: the holder's ticket is not among
// them, and one that was released is.
func TestR02RestartWithOldData(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	h := harness.New(t, harness.Redis(server.Addr, "restart", 5*time.Second))
	workers := h.StartAll(3)
	first := workers[0].Lock().Granted()
	if err := server.Client().Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	workers[0].MustUnlock()
	second := workers[1].Lock().Granted()
	server.Kill()
	server.Start()
	faulttest.WantLost(t, workers[1])
	third := workers[2].Lock().Granted() // after the resurrected one has lapsed
	if first.Ticket >= second.Ticket || second.Ticket >= third.Ticket {
		t.Errorf("tokens %d, %d, %d do not ascend", first.Ticket, second.Ticket, third.Ticket)
	}
	workers[2].MustUnlock()
	h.Check()
	h.CheckNothingIsLeft()
}

// With its data the server comes back as if nothing had happened. (With
// everysec it does not have all: what comes while it syncs is written later.)
func TestR02RestartWithData(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--appendonly", "yes", "--appendfsync", "always")
	l := faulttest.NewLine(t, harness.Redis(server.Addr, "restart", faulttest.LongLease), 4)
	server.Kill()
	server.Start()
	l.Workers[0].Write()
	l.Workers[0].MustUnlock()
	l.Drain(t, 1)
	if v := l.Check(); v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
	l.CheckNothingIsLeft()
}

// All keys vanish, in all the ways in which they can.
func TestR03Flush(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"FLUSHALL", "FLUSHDB ASYNC", "SWAPDB 0 1"} {
		t.Run(command, func(t *testing.T) {
			server := redistest.StartServer(t)
			l := faulttest.NewLine(t, harness.Redis(server.Addr, "flushed", 5*time.Second), 6)
			faulttest.Do(t, server.Client(), command)
			faulttest.WantLost(t, l.Workers[0])
			l.Drain(t, 1)
			l.Check()
			l.CheckNothingIsLeft()
		})
	}
}

// Single keys vanish.
func TestR04KeysVanish(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key  string // what its end matches
		lost bool   // the holder loses the lock
	}{
		"seq":             {":seq", false},
		"queue":           {":queue", true},
		"holder's lease":  {"", true},
		"all of the keys": {"*", true},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.StartServer(t)
			client := server.Client()
			spec := harness.Redis(server.Addr, "vanishing", 5*time.Second)
			h := harness.New(t, spec)
			workers := h.StartAll(3)
			held := workers[0].Lock().Granted()
			var vanish []string
			for _, key := range redistest.Keys(t, client, spec.Name) {
				lease := strings.Contains(key, ":lease:")
				if c.key == "*" || c.key == "" && lease || c.key != "" && strings.HasSuffix(key, c.key) {
					vanish = append(vanish, key)
				}
			}
			second := workers[1].StandInLine()
			if n, err := client.Del(t.Context(), vanish...).Result(); err != nil || n == 0 {
				t.Fatalf("deleted %d keys of %q: %v", n, vanish, err)
			}
			if c.lost {
				faulttest.WantLost(t, workers[0])
			} else {
				second.StaysBlocked(faulttest.Moment)
				workers[0].MustUnlock()
			}
			if e := second.Granted(); e.Ticket <= held.Ticket {
				t.Errorf("token %d comes after %d", e.Ticket, held.Ticket)
			}
			workers[1].MustUnlock()
			workers[2].Lock().Granted()
			workers[2].MustUnlock()
			h.Check()
			h.CheckNothingIsLeft()
		})
	}
}

func TestR05ScriptFlush(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client()
	v := faulttest.Disturb(t, harness.Redis(server.Addr, "scripts", faulttest.LongLease), testenv.Fewer(150), 2*time.Millisecond, func(ctx context.Context) error {
		return client.ScriptFlush(ctx).Err()
	})
	if v.Failures != 0 || v.LostHolds != 0 {
		t.Errorf("%v; want that nobody notices", v)
	}
}

// Another client's script keeps the server busy.
func TestR06BusyScript(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--lua-time-limit", "100")
	client := server.Client(func(o *redis.Options) { o.ReadTimeout = time.Minute })
	l := faulttest.NewLine(t, harness.Redis(server.Addr, "busy", faulttest.LongLease), 2)
	looping := make(chan error, 1)
	go func() { looping <- client.Eval(t.Context(), "while true do end", nil).Err() }()
	newcomer := l.Start()
	// Its ctx ends in time; whatever the server answers until then.
	faulttest.InTheEnd(t, func() (quick bool) {
		for {
			c := newcomer.LockFor(500 * time.Millisecond)
			called := c.Called()
			e := c.Cancelled()
			if took := faulttest.Since(called, e); took > 500*time.Millisecond+faulttest.Soon {
				t.Logf("Lock returned after %v, with a ctx of 500 ms", took)
				return false
			}
			if busy := client.Ping(t.Context()).Err(); redis.HasErrorPrefix(busy, "BUSY") {
				return true
			}
		}
	})
	if err := client.ScriptKill(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	<-looping
	l.Workers[0].MustUnlock()
	l.Drain(t, 1)
	if v := l.Check(); v.LostHolds != 0 || v.Evicted != 0 {
		t.Errorf("%v; want nothing lost", v)
	}
	l.CheckNothingIsLeft()
}

// Without memory the holder keeps the lock, the waiters get it, and no new ticket comes
// in.
func TestR18OutOfMemory(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, time.Second, func(lease time.Duration) bool {
		server := redistest.StartServer(t, "--maxmemory-policy", "noeviction")
		l := faulttest.NewLine(t, harness.Redis(server.Addr, "full", lease), 3)
		faulttest.Do(t, server.Client(), "CONFIG SET maxmemory 1")
		newcomer := l.Start()
		if e := newcomer.Lock().Cancelled(); !strings.Contains(e.Error, "OOM") {
			t.Errorf("Lock returned %q, want OOM", e.Error)
		}
		if !faulttest.KeptFor(l.Harness, 3, 3*lease) || !l.Calls[1].IsBlockedFor(faulttest.Moment) {
			return false
		}
		if !l.UnlockAll(t) {
			return false
		}
		if v := l.Check(); v.LostHolds != 0 || v.Evicted != 0 {
			t.Errorf("%v; want nothing lost", v)
		}
		l.CheckNothingIsLeft()
		return true
	})
}

// A server that throws keys away when its memory is short throws tickets away.
// The lock may be lost then, but not without its owner's knowledge.
func TestR19EvictionPolicies(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"allkeys-lru", "R20 volatile-ttl"} {
		t.Run(policy, func(t *testing.T) {
			server := redistest.StartServer(t, "--maxmemory-policy", strings.TrimPrefix(policy, "R20 "))
			client := server.Client()
			// What a server needs for itself differs: with threads it may be more than
			// another has in all.
			used, err := strconv.Atoi(client.InfoMap(t.Context(), "memory").Val()["Memory"]["used_memory"])
			if err != nil {
				t.Fatal(err)
			}
			faulttest.Do(t, client, fmt.Sprint("CONFIG SET maxmemory ", used+1<<20))
			i := 0
			faulttest.Disturb(t, harness.Redis(server.Addr, "evicted", time.Second), 150, time.Millisecond, func(ctx context.Context) error {
				for range 20 {
					i++
					// Where it is the last to go, OOM is what it gets.
					_ = client.Set(ctx, fmt.Sprint("other:", i%500), strings.Repeat("x", 4096), time.Hour).Err()
				}
				return nil
			})
			if evicted := client.InfoMap(t.Context(), "stats").Val()["Stats"]["evicted_keys"]; evicted == "" || evicted == "0" {
				t.Errorf("the server has thrown %q keys away, want some", evicted)
			}
		})
	}
}

// A client of a replica gets an error that says so, and soon.
func TestR21Replica(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client()
	m := lock.New(redisqueue.New(client, "replica"))
	faulttest.Do(t, client, "REPLICAOF 127.0.0.1 1")
	faulttest.InTheEnd(t, func() (quick bool) {
		began := time.Now()
		for operation, err := range map[string]error{"Lock": m.Lock(t.Context()), "TryLock": tryLock(t, m)} {
			if !redis.HasErrorPrefix(errors.Unwrap(err), "READONLY") && (err == nil || !strings.Contains(err.Error(), "READONLY")) {
				t.Errorf("%s returned %v, want READONLY", operation, err)
			}
		}
		took := time.Since(began)
		t.Logf("both took %v", took)
		return took <= 2*faulttest.Soon
	})
}

func tryLock(t *testing.T, m *lock.Mutex) error {
	_, err := m.TryLock(t.Context())
	return err
}

// The primary turns into a replica and back: nothing is lost.
func TestR22DemotedAndBack(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 5*time.Second, func(lease time.Duration) bool {
		server := redistest.StartServer(t)
		l := faulttest.NewLine(t, harness.Redis(server.Addr, "demoted", lease), 3)
		faulttest.Do(t, server.Client(), "REPLICAOF 127.0.0.1 1")
		if !faulttest.KeptFor(l.Harness, 3, lease/2) || !l.Calls[1].IsBlockedFor(faulttest.Moment) {
			return false
		}
		faulttest.Do(t, server.Client(), "REPLICAOF NO ONE")
		if !l.UnlockAll(t) {
			return false
		}
		if v := l.Check(); v.LostHolds != 0 || v.Evicted != 0 {
			t.Errorf("%v; want nothing lost", v)
		}
		l.CheckNothingIsLeft()
		return true
	})
}

// The holder's user is deleted: it loses the lock by its own clock, and others
// get an error that says why.
func TestR31UserDeleted(t *testing.T) {
	t.Parallel()
	const lease = 5 * time.Second
	server := redistest.StartServer(t)
	admin := server.Client()
	faulttest.Do(t, admin, "ACL SETUSER holder on >secret +@all ~* &*")
	reasons := make(chan error, 1)
	client := server.Client(func(o *redis.Options) { o.Username, o.Password = "holder", "secret" })
	m := lock.New(redisqueue.New(client, "users", redisqueue.WithLease(lease)), lock.WithTrace(&lock.Trace{
		Lost: func(_ queue.Ticket, err error) { reasons <- err },
	}))
	faulttest.MustLock(t, m)
	faulttest.Do(t, admin, "ACL DELUSER holder")
	<-m.Lost()
	if err := <-reasons; !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("the hold was lost because of %v, want WRONGPASS", err)
	}
	if err := m.Unlock(); !errors.Is(err, lock.ErrLost) {
		t.Errorf("Unlock returned %v, want ErrLost", err)
	}
	if err := m.Lock(t.Context()); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("Lock returned %v, want WRONGPASS", err)
	}
}

// Two queues of one name in two databases of a server share the channels of the
// wake-ups, and nothing else.
func TestR41SameNameInTwoDatabases(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	var all []*harness.Harness
	workers := make(map[*harness.Harness][]*harness.Process)
	for db := range 2 {
		spec := harness.Redis(server.Addr, "same", faulttest.LongLease)
		spec.DB = db
		h := harness.New(t, spec)
		h.Section = 500 * time.Microsecond
		workers[h] = h.StartAll(3)
		for _, w := range workers[h] {
			w.Run(1, 100)
		}
		all = append(all, h)
	}
	for _, h := range all {
		for _, w := range workers[h] {
			w.Finished()
		}
		if v := h.Check(); v.Grants != 300 {
			t.Errorf("%v; want 300 grants", v)
		}
		h.CheckNothingIsLeft()
	}
}

// The server refuses to write. Leases need no memory, but this is not about
// memory: the holder tries until its lease has run out, and says why it has.
func TestR43WritesRefused(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	l := faulttest.NewLine(t, harness.Redis(server.Addr, "refused", 5*time.Second), 1)
	// The waiter's lease is longer: it outlives the refusals, also on a busy machine.
	waiter := l.Start(harness.With(harness.Redis(server.Addr, "refused", time.Minute)))
	call := waiter.StandInLine()
	client := server.Client()
	faulttest.Do(t, client, "CONFIG SET min-replicas-to-write 1")
	newcomer := l.Start()
	if e := newcomer.Lock().Cancelled(); !strings.Contains(e.Error, "NOREPLICAS") {
		t.Errorf("Lock returned %q, want NOREPLICAS", e.Error)
	}
	if _, u := faulttest.WantLost(t, l.Workers[0]); !strings.Contains(u.Error, "NOREPLICAS") {
		t.Errorf("Unlock returned %q, want that it names NOREPLICAS", u.Error)
	}
	faulttest.Do(t, client, "CONFIG SET min-replicas-to-write 0")
	call.Granted()
	waiter.MustUnlock()
	l.Check()
	l.CheckNothingIsLeft()
}

// A snapshot fails, and the server refuses to write until one succeeds.
func TestR43Misconfigured(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--save", "3600", "1", "--dbfilename", "occupied")
	client := server.Client()
	m := lock.New(redisqueue.New(client, "misconfigured"))
	// A directory cannot be overwritten by a snapshot.
	dir := faulttest.Do(t, client, "CONFIG GET dir").(map[any]any)["dir"].(string)
	if err := os.MkdirAll(dir+"/occupied/file", 0o755); err != nil {
		t.Fatal(err)
	}
	faulttest.Do(t, client, "BGSAVE")
	for !strings.Contains(client.Info(t.Context(), "persistence").Val(), "rdb_last_bgsave_status:err") {
		time.Sleep(time.Millisecond)
	}
	if err := m.Lock(t.Context()); err == nil || !strings.Contains(err.Error(), "MISCONF") {
		t.Errorf("Lock returned %v, want MISCONF", err)
	}
	faulttest.Do(t, client, "CONFIG SET stop-writes-on-bgsave-error no")
	faulttest.MustLock(t, m)
	faulttest.MustUnlock(t, m)
}
