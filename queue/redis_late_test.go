package queue_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/queue"
)

// leaseKey returns the key of a ticket's lease.
func leaseKey(name string, ticket queue.Ticket) string {
	return "{" + name + "}:lease:" + queue.TokenOf(ticket.Member)
}

// A request that is executed again when the lease of the first time has run
// out, but the first ticket is still behind somebody who is alive:
//
//  1. A holds. B's request is sent twice; the second is executed first.
//  2. B's lease runs out.
//  3. The other request is executed, and takes a new ticket with the token.
//
// The new lease is the new ticket's alone: the old one stays dead, or its owner
// would keep alive what it does not know of, and wait behind it for ever.
func TestRedisLeaseIsOfOneTicket(t *testing.T) {
	redistest.NeedReal(t)
	direct, name := redistest.Client(t), redistest.Name(t)
	warm(t, direct)
	proxy := redistest.NewProxy(t, redistest.Addr(t))
	near := queue.NewRedis(direct, name)
	far := queue.NewRedis(redistest.ClientOf(t, proxy.Addr, retries(1), func(o *redis.Options) {
		o.ReadTimeout = 50 * time.Millisecond
	}), name)
	holder := mustRegister(t, near)
	_, deliver := proxy.HoldRequest(queue.RegisterHash)
	first := mustRegister(t, far)
	direct.Del(t.Context(), leaseKey(name, first)) // as if it had run out
	deliver()
	list := members(t, near)
	if len(list) != 3 || !list[1].Dead || list[2].Dead {
		t.Fatalf("the line is %+v; want one alive of the last two", list)
	}
	second := list[2].Ticket
	mustNotBeQueued(t, far.Refresh(t.Context(), first))
	_, err := far.Position(t.Context(), first)
	mustNotBeQueued(t, err)
	mustRelease(t, near, holder)
	mustBeHead(t, near, second)
	mustRelease(t, near, second)
	mustBeEmpty(t, near)
}
