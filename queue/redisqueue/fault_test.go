package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// warm makes a server know the scripts, so that the next command of each is
// sent by its hash.
func warm(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	q := redisqueue.New(client, redistest.Name(t))
	ticket, ok, err := q.TryRegister(t.Context())
	if err != nil || !ok {
		t.Fatalf("TryRegister = %v, %v", ok, err)
	}
	mustRelease(t, q, ticket)
	ticket = mustRegister(t, q)
	wantHead(t, q, ticket)
	if err := q.Refresh(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	mustRelease(t, q, ticket)
}

// retries makes a client that repeats a command so many times (-1: never).
func retries(n int) func(*redis.Options) {
	return func(o *redis.Options) { o.MaxRetries = n }
}

// A lost reply makes no second ticket, and no ticket at all if Register fails.
func TestLostReplyOfRegister(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	direct := redistest.Client(t)
	warm(t, direct)
	for _, maxRetries := range []int{-1, 1, 3, 5} {
		for _, lost := range []int{1, 2, 4} {
			for operation, hash := range map[string]string{"Register": redisqueue.RegisterHash, "TryRegister": redisqueue.TryRegisterHash} {
				t.Run(fmt.Sprintf("%s/retries=%d/lost=%d", operation, maxRetries, lost), func(t *testing.T) {
					proxy := redistest.NewProxy(t, redistest.Addr(t))
					client := redistest.ClientOf(t, proxy.Addr, retries(maxRetries))
					name := redistest.Name(t)
					q := redisqueue.New(client, name)
					proxy.LoseReplies(hash, lost)
					err := calls(q, queue.Ticket{})[operation](t.Context())
					if want := max(maxRetries, 0) < lost; want != (err != nil) {
						t.Errorf("error = %v; want an error: %v", err, want)
					}
					want := 1
					if err != nil {
						want = 0
					}
					if list := members(t, redisqueue.New(direct, name)); len(list) != want {
						t.Errorf("%d tickets after %v", len(list), err)
					}
				})
			}
		}
	}
}

// The ticket that a repeated request returns is the one that the first took.
func TestRepeatedRegister(t *testing.T) {
	redistest.NeedReal(t)
	direct := redistest.Client(t)
	warm(t, direct)
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	name := redistest.Name(t)
	near, far := redisqueue.New(direct, name), redisqueue.New(redistest.ClientOf(t, proxy.Addr), name)
	holder := mustRegister(t, near)
	proxy.LoseReplies(redisqueue.RegisterHash, 2)
	waiter := mustRegister(t, far)
	if list := members(t, near); len(list) != 2 || list[1].Ticket.Member != waiter.Member || waiter.Ahead != 1 {
		t.Errorf("got ticket %+v; the line is %v", waiter, list)
	}
	mustRelease(t, near, holder)
	wantHead(t, far, waiter)
	mustRelease(t, far, waiter)
}

// A request that arrives when its caller has given up long ago, and has made
// sure that no ticket is left, is refused.
func TestLateRegister(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	direct := redistest.Client(t)
	warm(t, direct)
	for operation, hash := range map[string]string{"Register": redisqueue.RegisterHash, "TryRegister": redisqueue.TryRegisterHash} {
		t.Run(operation, func(t *testing.T) {
			proxy := redistest.NewProxy(t, redistest.Addr(t))
			client := redistest.ClientOf(t, proxy.Addr, retries(-1))
			for client.Ping(t.Context()).Err() != nil { // or there is no connection to send it on
			}
			name := redistest.Name(t)
			q, near := redisqueue.New(client, name), redisqueue.New(direct, name)
			_, deliver := proxy.DivertRequest(hash)
			if err := calls(q, queue.Ticket{})[operation](t.Context()); err == nil {
				t.Fatal("no error without a reply")
			}
			deliver()
			wantEmpty(t, near)
			if keys := redistest.Keys(t, direct, name); len(keys) != 1 || !strings.Contains(keys[0], ":lease:") {
				t.Errorf("the keys are %q; want only the mark of the abandoned", keys)
			}
			direct.Del(t.Context(), redistest.Keys(t, direct, name)...)
		})
	}
}

// A registration that was executed, and whose caller has heard of nothing, is taken back:
// with it goes seq, as with any last ticket.
func TestAbandonOfTheLastCleansUp(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	direct := redistest.Client(t)
	warm(t, direct)
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	client := redistest.ClientOf(t, proxy.Addr, retries(-1))
	for client.Ping(t.Context()).Err() != nil { // or there is no connection to send it on
	}
	name := redistest.Name(t)
	proxy.LoseReplies(redisqueue.RegisterHash, 1)
	if ticket, err := redisqueue.New(client, name).Register(t.Context()); err == nil {
		t.Fatalf("got %+v without a reply", ticket)
	}
	marked := func() bool { // in the step in which the registration was taken back
		for _, key := range redistest.Keys(t, direct, name) {
			if value, err := direct.Get(t.Context(), key).Result(); err == nil && value == "" {
				return true
			}
		}
		return false
	}
	for !marked() {
		time.Sleep(pause)
	}
	keys := redistest.Keys(t, direct, name)
	if len(keys) != 1 {
		t.Errorf("%q are left, want the mark alone", keys)
	}
	direct.Del(t.Context(), keys...)
}

// The server cannot take the mark of the abandoned at once, or has no memory for it: the
// request that comes late is refused all the same.
func TestLateRegisterAtAServerThatRefuses(t *testing.T) {
	t.Parallel()
	for what, refuses := range map[string]struct {
		code       string
		begin, end func(*redis.Client) error
		goesOn     bool // it is asked again until the end
	}{
		"without memory": {
			"OOM",
			func(c *redis.Client) error { return c.ConfigSet(t.Context(), "maxmemory", "1").Err() },
			func(c *redis.Client) error { return c.ConfigSet(t.Context(), "maxmemory", "0").Err() },
			false,
		},
		"as a replica": {
			"READONLY",
			func(c *redis.Client) error { return c.ReplicaOf(t.Context(), "127.0.0.1", "1").Err() },
			func(c *redis.Client) error { return c.ReplicaOf(t.Context(), "NO", "ONE").Err() },
			true,
		},
	} {
		t.Run(what, func(t *testing.T) {
			server := redistest.StartServer(t)
			direct := server.Client()
			warm(t, direct)
			proxy := redistest.NewProxy(t, server.Addr)
			client := redistest.ClientOf(t, proxy.Addr, retries(-1))
			for client.Ping(t.Context()).Err() != nil { // or there is no connection to send it on
			}
			if err := refuses.begin(direct); err != nil {
				t.Fatal(err)
			}
			held, deliver := proxy.DivertRequest(redisqueue.RegisterHash)
			registered := make(chan error, 1)
			go func() {
				_, err := redisqueue.New(client, "late").Register(t.Context())
				registered <- err
			}()
			<-held
			for refuses.goesOn && !strings.Contains(direct.Info(t.Context(), "errorstats").Val(), refuses.code) {
				time.Sleep(pause)
			}
			if refuses.goesOn {
				if err := refuses.end(direct); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-registered; err == nil {
				t.Fatal("no error without a reply")
			}
			if !refuses.goesOn {
				if err := refuses.end(direct); err != nil {
					t.Fatal(err)
				}
			}
			deliver()
			wantEmpty(t, redisqueue.New(direct, "late"))
		})
	}
}

// A ctx that ends the call is what the error says, and leaves no ticket.
func TestRegisterCanceled(t *testing.T) {
	redistest.NeedReal(t)
	direct := redistest.Client(t)
	warm(t, direct)
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	client := redistest.ClientOf(t, proxy.Addr, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	name := redistest.Name(t)
	if err := client.Ping(t.Context()).Err(); err != nil { // so that there is a connection
		t.Fatal(err)
	}
	held, deliver := proxy.HoldRequest(redisqueue.RegisterHash)
	for timeout, sent := 50*time.Millisecond, false; !sent; timeout *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		if _, err := redisqueue.New(client, name).Register(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want DeadlineExceeded", err)
		}
		select {
		case <-held:
			sent = true
		case <-time.After(timeout): // the ctx had ended before it was sent
		}
	}
	deliver()
	wantEmpty(t, redisqueue.New(direct, name))
	direct.Del(t.Context(), redistest.Keys(t, direct, name)...)
}

// Whatever a server does that was stopped when a ctx ended, the call returns
// either a ticket or an error that leaves none.
func TestRegisterAtStoppedServer(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	direct := server.Client()
	warm(t, direct)
	client := server.Client(func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	q := redisqueue.New(client, "stopped")
	for range 10 {
		server.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		type result struct {
			ticket queue.Ticket
			err    error
		}
		returned := make(chan result)
		go func() {
			ticket, err := q.Register(ctx)
			returned <- result{ticket, err}
		}()
		<-ctx.Done()
		server.Resume()
		r := <-returned
		cancel()
		if r.err == nil {
			mustRelease(t, q, r.ticket)
		} else if !errors.Is(r.err, context.DeadlineExceeded) {
			t.Errorf("got %v; want DeadlineExceeded", r.err)
		}
		wantEmpty(t, redisqueue.New(direct, "stopped"))
	}
}

// A Ring that finds all its shards down for a moment has a ticket released when one is
// there again.
func TestReleaseWhileAllShardsAreDown(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	server := redistest.StartServer(t, "--appendonly", "yes", "--appendfsync", "always")
	ring := redis.NewRing(&redis.RingOptions{
		Addrs:              map[string]string{"one": server.Addr},
		HeartbeatFrequency: 20 * time.Millisecond,
	})
	defer ring.Close()
	q := redisqueue.New(ring, "down")
	ticket := mustRegister(t, q)
	server.Kill()
	for ring.Len() > 0 {
		time.Sleep(time.Millisecond)
	}
	released := make(chan error)
	go func() { released <- q.Release(t.Context(), ticket) }()
	select {
	case err := <-released:
		t.Errorf("Release did not wait: %v", err)
		server.Start()
	case <-time.After(shortly):
		server.Start()
		if err := <-released; err != nil {
			t.Errorf("Release: %v", err)
		}
	}
	if n := redisqueue.Waiters(q); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// A lost reply of a release is no error, and no ticket of another owner is touched.
func TestLostReplyOfRelease(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	direct := redistest.Client(t)
	warm(t, direct)
	for _, maxRetries := range []int{-1, 1, 3, 5} {
		for _, lost := range []int{1, 3} {
			t.Run(fmt.Sprintf("retries=%d/lost=%d", maxRetries, lost), func(t *testing.T) {
				proxy := redistest.NewProxy(t, redistest.Addr(t))
				name := redistest.Name(t)
				far := redisqueue.New(redistest.ClientOf(t, proxy.Addr, retries(maxRetries)), name)
				near := redisqueue.New(direct, name)
				holder, waiter := mustRegister(t, far), mustRegister(t, near)
				proxy.LoseReplies(redisqueue.ReleaseHash, lost)
				if err := far.Release(t.Context(), holder); err != nil {
					t.Errorf("Release: %v", err)
				}
				wantNotQueued(t, far.Release(t.Context(), holder))
				wantHead(t, near, waiter)
				if list := members(t, near); len(list) != 1 {
					t.Errorf("the line is %v", list)
				}
				mustRelease(t, near, waiter)
			})
		}
	}
}

// A lost request of a release is sent again.
func TestLostRequestOfRelease(t *testing.T) {
	redistest.NeedReal(t)
	warm(t, redistest.Client(t))
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	q := redisqueue.New(redistest.ClientOf(t, proxy.Addr, retries(-1)), redistest.Name(t))
	held := mustRegister(t, q)
	proxy.LoseRequests(redisqueue.ReleaseHash, 2)
	mustRelease(t, q, held)
	wantEmpty(t, q)
}

// A release that reaches no server ends with its ctx, or when the lease must have run out.
func TestReleaseUnreachable(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	q := redisqueue.New(server.Client(retries(-1)), "unreachable")
	held := mustRegister(t, q)
	server.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := q.Release(ctx, held); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `release ticket`) {
		t.Errorf("got %v; want DeadlineExceeded", err)
	}
	held.Lease = 300 * time.Millisecond
	select {
	case err := <-release(t, q, held):
		if err == nil {
			t.Error("released without a server")
		}
	case <-time.After(time.Minute):
		t.Error("Release goes on after the lease")
	}
}

// There is no server: nothing was sent, so that there is nothing to abandon.
func TestRegisterUnreachable(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client(retries(-1))
	server.Kill()
	if _, err := redisqueue.New(client, "unreachable").Register(t.Context()); err == nil {
		t.Error("registered without a server")
	}
}

// Without memory no ticket can join, and nothing is left of the try. A ticket in line can
// stay there and leave.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--maxmemory-policy", "noeviction")
	client := server.Client()
	q := redisqueue.New(client, "full")
	holder, waiter := mustRegister(t, q), mustRegister(t, q)
	full := func(limit string) {
		t.Helper()
		if err := client.ConfigSet(t.Context(), "maxmemory", limit).Err(); err != nil {
			t.Fatal(err)
		}
	}
	full("1")
	before := dump(t, client, "full")
	if _, err := q.Register(t.Context()); !redis.HasErrorPrefix(err, "OOM") {
		t.Errorf("Register: %v; want OOM", err)
	}
	if after := dump(t, client, "full"); before != after {
		t.Errorf("the keys were changed from\n%s to\n%s", before, after)
	}
	if err := q.Refresh(t.Context(), waiter); err != nil {
		t.Error(err)
	}
	mustRelease(t, q, holder)
	wantHead(t, q, waiter)
	mustRelease(t, q, waiter)
	if _, _, err := q.TryRegister(t.Context()); !redis.HasErrorPrefix(err, "OOM") {
		t.Errorf("TryRegister: %v; want OOM", err)
	}
	if keys := redistest.Keys(t, client, "full"); len(keys) != 0 {
		t.Errorf("%q are left", keys)
	}
	full("0")
	mustRelease(t, q, mustRegister(t, q))
}

// A replica is never asked: whatever it says may be old.
func TestReplica(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client(retries(1))
	q := redisqueue.New(client, "replicated")
	held := mustRegister(t, q)
	mustRegister(t, q)
	// A primary that becomes a replica of one that is not there keeps what it has.
	if err := client.ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	// Is called by the second refusal about held: the first has reached its caller by then.
	var refused atomic.Pointer[context.CancelFunc]
	var refusals atomic.Int32
	client.AddHook(answered(func(cmd redis.Cmder, err error) {
		// Not of a registration, which goes on being taken back in the background.
		ours := slices.Contains(cmd.Args(), any(held.Member))
		if cancel := refused.Load(); cancel != nil && ours && redis.HasErrorPrefix(err, "READONLY") && refusals.Add(1) == 2 {
			(*cancel)()
		}
	}))
	for call, f := range calls(q, held) {
		if call == "Watch" {
			continue // does not ask
		}
		ctx, cancel := context.WithCancel(t.Context())
		if call == "Release" || call == "Remove" {
			// It may be a primary again: a ticket is not left behind for that.
			refusals.Store(0)
			refused.Store(&cancel)
		}
		err := f(ctx)
		if !redis.HasErrorPrefix(err, "READONLY") || !strings.Contains(err.Error(), "primary") {
			t.Errorf("%s: %v; want READONLY, and what to do", call, err)
		}
		if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
			t.Errorf("%s: %v; want also %v", call, err, ended)
		}
		cancel()
	}
}

// limited returns a client of a user with these rights only.
func limited(t *testing.T, server *redistest.Server, name string, rules ...string) *redis.Client {
	t.Helper()
	all := append([]any{"ACL", "SETUSER", name, "on", "nopass"}, anys(rules)...)
	if err := server.Client().Do(t.Context(), all...).Err(); err != nil {
		t.Fatal(err)
	}
	return server.Client(func(o *redis.Options) { o.Username, o.Password = name, "any" })
}

func anys(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}

// Without the right to publish and subscribe a queue works by polling.
func TestNoPublish(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	for what, rules := range map[string][]string{
		"commands": {"+@all", "~*", "&*", "-publish", "-subscribe"},
		"channels": {"+@all", "~*", "resetchannels"},
	} {
		t.Run(what, func(t *testing.T) {
			q := redisqueue.New(limited(t, server, what, rules...), what)
			other := redisqueue.New(server.Client(), what)
			holder, waiter := mustRegister(t, q), mustRegister(t, other)
			last := mustRegister(t, q)
			_, stop, err := q.Watch(t.Context(), last)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			mustRelease(t, q, holder)
			wantHead(t, other, waiter)
			mustRelease(t, other, waiter)
			wantHead(t, q, last)
			next := mustRegister(t, other)
			if err := server.Client().Del(t.Context(), leaseKey(what, last)).Err(); err != nil {
				t.Fatal(err)
			}
			if err := q.CleanupStale(t.Context()); err != nil { // evicts last, and may not tell
				t.Error(err)
			}
			wantHead(t, other, next)
			mustRelease(t, other, next)
			wantEmpty(t, q)
		})
	}
}

func TestNoScripts(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	q := redisqueue.New(limited(t, server, "user", "+@all", "~*", "&*", "-@scripting"), "scripts")
	for call, f := range calls(q, queue.Ticket{Number: 1, Member: "1:a.b:1"}) {
		if call == "Watch" {
			continue // runs no script
		}
		err := f(t.Context())
		if !redis.HasErrorPrefix(err, "NOPERM") || !strings.Contains(err.Error(), "evalsha") || !strings.Contains(err.Error(), "documentation") {
			t.Errorf("%s: %v; want NOPERM, and what to do", call, err)
		}
	}
}

func TestNoRightInAScript(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	q := redisqueue.New(limited(t, server, "user", "+@all", "~*", "&*", "-zadd"), "right")
	if _, err := q.Register(t.Context()); err == nil || !strings.Contains(err.Error(), "documentation") {
		t.Errorf("Register: %v; want what to do", err)
	}
	wantEmpty(t, redisqueue.New(server.Client(), "right"))
}

// The rights that the documentation of Redis lists are enough for everything.
func TestRights(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	const name = "rights"
	client := limited(t, server, "user", strings.Fields(`
		+evalsha +eval +time +exists +get +mget +set +del +pttl +pexpire
		+zadd +zrem +zremrangebyrank +zscore +zrank +zrange +zrevrange +zrangebyscore
		+publish +subscribe +ping
		~{rights}:* resetchannels &fifolock:*`)...)
	q := redisqueue.New(client, name)
	held := mustRegister(t, q)
	short := redisqueue.New(client, name, redisqueue.WithLease(20*time.Millisecond))
	mustRegister(t, short)
	awaitDead(t, q, 1)
	waiter := mustRegister(t, redisqueue.New(limited(t, server, "other", "+@all", "~*", "&*"), name))
	for _, call := range []string{"TryRegister", "IsHead", "Position", "Refresh", "CleanupStale", "IsEmpty", "Members", "Watch", "Release"} {
		if err := calls(q, held)[call](t.Context()); err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
	if err := q.Remove(t.Context(), waiter); err != nil {
		t.Error(err)
	}
	q.MaybeCleanup(t.Context())
	list := server.Client().Do(t.Context(), "ACL", "LOG").Val()
	if text := fmt.Sprint(list); strings.Contains(text, "publish") || strings.Contains(text, "lua") {
		t.Errorf("the server refused something: %s", text)
	}
	if keys := redistest.Keys(t, server.Client(), name); len(keys) != 0 {
		t.Errorf("%q are left", keys)
	}
}

// SCRIPT FLUSH at any time is not noticed.
func TestScriptFlush(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	client := server.Client()
	q := redisqueue.New(client, "scripts")
	for range 20 {
		held := mustRegister(t, q)
		client.ScriptFlush(t.Context())
		wantHead(t, q, held)
		client.ScriptFlush(t.Context())
		mustRelease(t, q, held)
		// That the script was not there is no reply that was lost.
		client.ScriptFlush(t.Context())
		wantNotQueued(t, q.Release(t.Context(), held))
	}
}

// Connections that break at any moment neither double nor lose a ticket.
func TestConnectionsBreak(t *testing.T) {
	testenv.Long(t)
	t.Parallel()
	redistest.NeedReal(t)
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	direct, name := redistest.Client(t), redistest.Name(t)
	q := redisqueue.New(redistest.ClientOf(t, proxy.Addr), name)
	done := make(chan struct{})
	cut := make(chan struct{})
	var calls atomic.Int64 // that have returned
	go func() {
		defer close(cut)
		// As long as none gets through, the pauses grow: a busy machine needs longer ones.
		for pause, last := 3*time.Millisecond, int64(0); ; pause *= 2 {
			select {
			case <-done:
				return
			case <-time.After(pause):
				proxy.Cut()
			}
			if n := calls.Load(); n != last {
				pause, last = 3*time.Millisecond/2, n
			}
		}
	}()
	for range 200 {
		ticket, err := q.Register(t.Context())
		if list := members(t, redisqueue.New(direct, name)); err == nil && len(list) != 1 || err != nil && len(list) != 0 {
			t.Errorf("%d tickets after Register returned %v", len(list), err)
		}
		calls.Add(1)
		if err == nil {
			mustRelease(t, q, ticket)
			calls.Add(1)
		}
	}
	close(done)
	<-cut
	wantEmpty(t, redisqueue.New(direct, name))
}

// A timeout of the client's own is not the end of the ctx, though package net and
// crypto/tls let it look so. A caller that waits without limit must not read that the
// time is up.
func TestTimeoutOfTheClient(t *testing.T) {
	late := func(context.Context) error { return context.DeadlineExceeded }
	for what, fails := range map[string]func(ctx context.Context) error{
		"TLS handshake": late, // as crypto/tls returns it
		"dial": func(ctx context.Context) error {
			dialer := net.Dialer{Timeout: 1}
			_, err := dialer.DialContext(ctx, "tcp", redistest.Addr(t))
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			client := redistest.ClientOf(t, redistest.Addr(t), retries(-1), func(o *redis.Options) {
				o.DialerRetries = 1
				o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, fails(ctx) }
			})
			name := redistest.Name(t)
			q := redisqueue.New(client, name)
			_, err := q.Register(t.Context())
			var timeout net.Error
			if errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("Register returned %v; want a timeout, but not that of the ctx", err)
			}
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "not the ctx") {
				t.Errorf("Register returned %v", err)
			}
			ctx, cancel := context.WithDeadline(t.Context(), time.Now())
			defer cancel()
			if _, err := q.Register(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with a ctx that has ended Register returned %v", err)
			}
		})
	}
}
