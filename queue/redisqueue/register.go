package redisqueue

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
)

// abandonTimeout is how long a registration that failed tries to make sure that
// no ticket is left.
const abandonTimeout = 5 * time.Second

// Register takes the next number and stands in line, in one round trip.
//
// When the server was asked and did not answer, Register makes sure, for up to
// five seconds, that no ticket is left before it returns the error. If it
// cannot, a ticket that may be there runs out with its lease.
//
// While the slot of the queue moves to another node of a Cluster, Register waits,
// for up to half a lease.
func (r *Queue) Register(ctx context.Context) (queue.Ticket, error) {
	t, _, err := r.enrol(ctx, "register", registerScript)
	return t, err
}

// TryRegister takes a ticket if nobody is in line, in one round trip. The dead
// do not count; they are removed. An error leaves no ticket, as for Register.
func (r *Queue) TryRegister(ctx context.Context) (queue.Ticket, bool, error) {
	return r.enrol(ctx, "try to register", tryRegisterScript)
}

// enrol runs one of the two scripts that put a ticket in line.
func (r *Queue) enrol(ctx context.Context, operation string, script *redis.Script) (queue.Ticket, bool, error) {
	h, err := r.begin(ctx)
	if err != nil {
		return queue.Ticket{}, false, r.fail(ctx, operation, err)
	}
	token, proof := h.newToken(), rand.Text()
	// The mailbox is there before anyone can write to it, so that no message
	// is missed between registering and watching.
	h.open(token, proof)
	request := &sending{value: token}
	t, ok, err := r.take(ctx, h, script, request, proof)
	if err != nil || t.Ahead == 0 {
		h.drop(token) // nobody, or a head: there is nothing to be told
	}
	times := request.times.Load()
	switch {
	case err != nil && times > 0:
		r.abandon(ctx, h, token, times == 1 && isAnswer(err))
	case ok && times > 1:
		r.overtaken.Store(token, nil) // another request may still be under way
		if t.Ahead > 0 {
			h.open(token, proof) // what is in the mailbox may be for a ticket that died since
		}
		h.look() // a lost reply may have carried a grant for one of ours
	case times > 1:
		r.abandon(ctx, h, token, false)
	}
	if err != nil {
		return queue.Ticket{}, false, r.fail(ctx, operation, err)
	}
	return t, ok, nil
}

// take sends the request until the script is through with the dead.
func (r *Queue) take(ctx context.Context, h *hub, script *redis.Script, request *sending, proof string) (queue.Ticket, bool, error) {
	keys := r.ticketKeys(request.value)
	// Of a refusal that passes, who only tries is told, and who stands in line waits
	// in any case; but not so long that the lease, which its owner counts from the
	// beginning of the call, would be over with the first heartbeat.
	began := time.Now()
	forGood := func(err error) bool {
		return script != registerScript || !isPassing(err) || time.Since(began) > r.lease/2
	}
	for {
		sent := request.times.Load()
		var answer reply
		err := r.persist(ctx, forGood, func() (err error) {
			answer, err = runScript(ctx, r.client, script, request, keys,
				request, r.lease.Milliseconds(), r.lasts(), leaseText(proof, r.lease), h.id)
			return err
		})
		if err != nil {
			return queue.Ticket{}, false, err
		}
		h.deliver(answer.message)
		switch answer.status {
		case statusAgain:
			if request.times.Load() == sent+1 {
				request.times.Store(sent) // it took no ticket
			}
			if err := ctx.Err(); err != nil {
				return queue.Ticket{}, false, err
			}
		case statusBusy:
			return queue.Ticket{}, false, nil
		case statusOK:
			entry, err := parseRedisEntry(answer.text(0))
			if err != nil {
				return queue.Ticket{}, false, err
			}
			return queue.Ticket{Number: entry.number, Member: answer.text(0), Ahead: int(answer.integer(1)), Lease: r.lease}, true, nil
		default:
			return queue.Ticket{}, false, answer.status.err()
		}
	}
}

// abandon takes back a registration that returned an error. Unless the request
// was surely answered by that error, a mark is left that refuses it should it
// arrive late. The caller's ctx may be what ended it, so it does not count here.
func (r *Queue) abandon(ctx context.Context, h *hub, token string, answered bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	var mark int64
	if !answered {
		mark = r.lease.Milliseconds()
	}
	defer h.look() // a lost reply may have carried a grant for one of ours
	// What is still there after all the tries runs out with its lease.
	_ = r.persist(ctx, isAnswer, func() error {
		answer, err := runScript(ctx, r.client, abandonScript, nil, r.ticketKeys(token), mark, h.id)
		if err == nil {
			h.deliver(answer.message)
		}
		return err
	})
}
