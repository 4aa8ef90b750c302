package redisqueue_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// leaseKey returns the key of a ticket's lease.
func leaseKey(name string, ticket queue.Ticket) string {
	return "{" + name + "}:lease:" + redisqueue.TokenOf(ticket.Member)
}

// A request is executed again when the lease of the first time has run out, but the first
// ticket is still behind a living one:
//
//  1. A holds. B's request is sent twice; the second is executed first.
//  2. B's lease runs out.
//  3. The other request is executed, and takes a new ticket with the token.
//
// The new lease is the new ticket's alone: the old one stays dead, or its owner
// would keep alive what it does not know of, and wait behind it for ever.
func TestLeaseIsOfOneTicket(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	direct, name := redistest.Client(t), redistest.Name(t)
	warm(t, direct)
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	near := redisqueue.New(direct, name)
	far := redisqueue.New(redistest.ClientOf(t, proxy.Addr, retries(5)), name)
	holder := mustRegister(t, near)
	_, deliver := proxy.DivertRequest(redisqueue.RegisterHash)
	first := mustRegister(t, far)
	direct.Del(t.Context(), leaseKey(name, first)) // as if it had run out
	deliver()
	list := members(t, near)
	if len(list) != 3 || !list[1].Dead || list[2].Dead {
		t.Fatalf("the line is %+v; want one alive of the last two", list)
	}
	second := list[2].Ticket
	wantNotQueued(t, far.Refresh(t.Context(), first))
	_, err := far.Position(t.Context(), first)
	wantNotQueued(t, err)
	mustRelease(t, near, holder)
	wantHead(t, near, second)
	mustRelease(t, near, second)
	wantEmpty(t, near)
}

// answered is a hook of a client: it is told every error that a server replies, and nil
// for every answer.
type answered func(redis.Cmder, error)

func (answered) DialHook(next redis.DialHook) redis.DialHook { return next }

func (answered) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (told answered) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		told(cmd, err)
		return err
	}
}

// firstAnswer returns what receives what a client is told next.
func firstAnswer(client *redis.Client) <-chan error {
	first := make(chan error, 1)
	client.AddHook(answered(func(_ redis.Cmder, err error) {
		select {
		case first <- err:
		default:
		}
	}))
	return first
}

// A server that says "not now" is asked again: otherwise the ticket would stay
// in line for a lease. What was refused was not executed, so that an answer to
// the next request is taken at its word.
func TestReleaseAtBusyServer(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--lua-time-limit", "20")
	looping := server.Client(func(o *redis.Options) { o.ReadTimeout = time.Minute })
	control := server.Client()
	client := server.Client()
	q := redisqueue.New(client, "busy")
	for what, check := range map[string]func(*testing.T, error){
		"in line": func(t *testing.T, err error) {
			if err != nil {
				t.Errorf("Release: %v", err)
			}
		},
		"gone": func(t *testing.T, err error) { wantNotQueued(t, err) },
	} {
		t.Run(what, func(t *testing.T) {
			held := mustRegister(t, q)
			if what == "gone" {
				mustRelease(t, q, held)
			}
			loop := make(chan error, 1)
			go func() { loop <- looping.Eval(t.Context(), "while true do end", nil).Err() }()
			for !redis.HasErrorPrefix(control.Ping(t.Context()).Err(), "BUSY") {
				time.Sleep(pause)
			}
			said := firstAnswer(client)
			released := make(chan error, 1)
			go func() { released <- q.Release(t.Context(), held) }()
			if err := <-said; !redis.HasErrorPrefix(err, "BUSY") {
				t.Fatalf("the server said %v; want BUSY", err)
			}
			if err := control.ScriptKill(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			<-loop
			check(t, <-released)
			wantEmpty(t, q)
		})
	}
}

// A Register waits for another client's script, too, for up to half a lease. A TryRegister is
// told.
func TestRegisterAtBusyServer(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t, "--lua-time-limit", "20")
	looping := server.Client(func(o *redis.Options) { o.ReadTimeout = time.Minute })
	control := server.Client()
	client := server.Client()
	q := redisqueue.New(client, "busy")
	loop := make(chan error, 1)
	go func() { loop <- looping.Eval(t.Context(), "while true do end", nil).Err() }()
	for !redis.HasErrorPrefix(control.Ping(t.Context()).Err(), "BUSY") {
		time.Sleep(pause)
	}
	if _, _, err := q.TryRegister(t.Context()); err == nil || !strings.Contains(err.Error(), "BUSY") {
		t.Errorf("TryRegister: %v; want BUSY", err)
	}
	const lease = 400 * time.Millisecond
	impatient, began := make(chan error, 1), time.Now()
	go func() {
		_, err := redisqueue.New(client, "busy", redisqueue.WithLease(lease)).Register(t.Context())
		impatient <- err
	}()
	select {
	case err := <-impatient:
		if waited := time.Since(began); !redis.HasErrorPrefix(err, "BUSY") || waited < lease/2 {
			t.Errorf("Register with a lease of %v: %v after %v; want BUSY after half of it", lease, err, waited)
		}
	case <-time.After(time.Minute):
		t.Errorf("Register with a lease of %v waits for much longer", lease)
	}
	said := firstAnswer(client)
	registered := make(chan error, 1)
	go func() {
		ticket, err := q.Register(t.Context())
		if err == nil {
			err = q.Release(t.Context(), ticket)
		}
		registered <- err
	}()
	if err := <-said; !redis.HasErrorPrefix(err, "BUSY") {
		t.Fatalf("the server said %v; want BUSY", err)
	}
	if err := control.ScriptKill(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	<-loop
	if err := <-registered; err != nil {
		t.Errorf("Register and Release: %v", err)
	}
	wantEmpty(t, q)
}

// A request that is overtaken by its own repetition arrives when the call has long had
// its answer, and the line is empty. It takes no ticket: no caller would know of it.
func TestOvertakenRegister(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	direct := redistest.Client(t)
	warm(t, direct)
	for what, test := range map[string]struct {
		hash string
		call func(t *testing.T, near, far *redisqueue.Queue)
	}{
		"Register, Release": {redisqueue.RegisterHash, func(t *testing.T, _, far *redisqueue.Queue) {
			mustRelease(t, far, mustRegister(t, far))
		}},
		"Register, Remove": {redisqueue.RegisterHash, func(t *testing.T, _, far *redisqueue.Queue) {
			if err := far.Remove(t.Context(), mustRegister(t, far)); err != nil {
				t.Error(err)
			}
		}},
		"TryRegister, Release": {redisqueue.TryRegisterHash, func(t *testing.T, _, far *redisqueue.Queue) {
			ticket, ok, err := far.TryRegister(t.Context())
			if err != nil || !ok {
				t.Fatalf("TryRegister = %v, %v", ok, err)
			}
			mustRelease(t, far, ticket)
		}},
		"TryRegister, busy": {redisqueue.TryRegisterHash, func(t *testing.T, near, far *redisqueue.Queue) {
			held := mustRegister(t, near)
			if _, ok, err := far.TryRegister(t.Context()); err != nil || ok {
				t.Fatalf("TryRegister = %v, %v", ok, err)
			}
			mustRelease(t, near, held)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			proxy := redistest.NewProxy(t, redistest.Addr(t))
			name := redistest.Name(t)
			near := redisqueue.New(direct, name)
			far := redisqueue.New(redistest.ClientOf(t, proxy.Addr, retries(5)), name)
			_, deliver := proxy.DivertRequest(test.hash)
			test.call(t, near, far)
			deliver()
			wantEmpty(t, near)
			direct.Del(t.Context(), redistest.Keys(t, direct, name)...)
		})
	}
}

// A grant is of the ticket that Register returned, not of one that an earlier
// request took and that has died since:
//
//  1. A holds. B's request is executed, its reply is lost. C comes.
//  2. A releases: B is told, in its own process.
//  3. B's lease runs out, C is the head. B's request is executed again.
func TestGrantOfAnEarlierRequest(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	direct := redistest.Client(t)
	warm(t, direct)
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	for patience := 100 * time.Millisecond; ; patience *= 2 {
		name := redistest.Name(t)
		near := redisqueue.New(direct, name)
		far := redisqueue.New(redistest.ClientOf(t, proxy.Addr, retries(1), func(o *redis.Options) {
			o.MinRetryBackoff, o.MaxRetryBackoff = patience, patience
		}), name)
		holder := mustRegister(t, far)
		listening(t, far)
		proxy.LoseReplies(redisqueue.RegisterHash, 1)
		registered := make(chan queue.Ticket, 1)
		go func() {
			ticket, err := far.Register(t.Context())
			if err != nil {
				t.Error(err)
			}
			registered <- ticket
		}()
		var list []queue.Member
		for len(list) < 2 {
			list = members(t, near)
		}
		first, next := list[1].Ticket, mustRegister(t, near)
		mustRelease(t, far, holder)
		direct.Del(t.Context(), leaseKey(name, first)) // as if it had run out
		wantHead(t, near, next)
		second := <-registered
		wake, _ := watch(t, far, second)
		if second == first {
			continue // the second request was too early
		}
		wantWake(t, wake, queue.WakeHint)
		wantNoWake(t, wake)
		mustRelease(t, near, next)
		wantWake(t, wake, queue.WakeOwner)
		mustRelease(t, far, second)
		direct.Del(t.Context(), redistest.Keys(t, direct, name)...)
		return
	}
}
