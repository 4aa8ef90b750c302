package redisqueue

import (
	"context"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
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
// Register waits, for up to half a lease, while the slot of the queue moves to
// another node of a Cluster, while the server is busy with a script or has just
// started, and while the client has no connection to spare.
func (v *view) Register(ctx context.Context) (queue.Ticket, error) {
	t, _, err := v.join(ctx, registerScript)
	return t, v.failed(ctx, "register", err)
}

// TryRegister takes a ticket if fewer are in line than may own, in one round trip.
// The dead do not count; they are removed. An error leaves no ticket, as for
// Register.
func (v *view) TryRegister(ctx context.Context) (queue.Ticket, bool, error) {
	t, ok, err := v.join(ctx, tryRegisterScript)
	return t, ok, v.failed(ctx, "try to register", err)
}

// join runs one of the two scripts that put a ticket in line.
func (v *view) join(ctx context.Context, script func() *script) (t queue.Ticket, ok bool, err error) {
	n, err := v.begin(ctx)
	if err != nil {
		return queue.Ticket{}, false, err
	}
	token, sent := n.NewToken(), time.Now()
	// The waiter is there before anyone can write to it, so that no message is
	// missed between registering and watching.
	n.Open(token, v.name)
	defer func() {
		if !ok { // or a trace of the caller's has panicked
			n.Drop(token)
			v.absent(token, false)
		}
	}()
	presence := v.present(ctx, token)
	t, front, ok, lost, err := v.take(ctx, n, script, token, presence)
	if ok {
		t.Lost = v.presented(token, t.Member, presence)
		w := v.waiter(token, t)
		w.Owns, w.Until = t.Ahead == 0, believed(sent, v.lease)
		if v.owners == 0 {
			w.Front = front
		}
		n.Bind(w)
	}
	switch {
	case ok && lost > 0:
		v.resent.Store(token, nil) // another request may still be under way
	case lost > 0:
		v.abandon(ctx, n, token, v.lease.Milliseconds())
	case err != nil && isReply(err) && !isRefusal(err):
		v.abandon(ctx, n, token, 0) // it may have failed half way
	}
	if lost > 0 {
		n.Reload(v.name) // a lost reply may have carried a message for one of ours
	}
	return t, ok, err
}

// take sends the request until the script is through with the dead. front is the entry
// directly in front of the ticket, if it is known.
func (v *view) take(ctx context.Context, n *notifier.Notifier, script func() *script, token, presence string) (t queue.Ticket, front string, ok bool, lost int, err error) {
	r := v.request(script, n.ID(), v.ticketKeys(token), token, v.lease.Milliseconds(), v.lasts(), v.leaseText(presence))
	p := v.brief()
	if r.script == registerScript() {
		// A call that only tries is told of a refusal that passes; one that stands in
		// line waits in any case. But not so long that the lease, which its owner counts
		// from the beginning of the call, would be over with the first heartbeat.
		p.passing = v.lease / 2
	}
	for {
		answer, more, err := v.send(ctx, p, r)
		lost += more
		if err != nil {
			return queue.Ticket{}, "", false, lost, err
		}
		deliver(n, answer)
		switch answer.status {
		case statusOK:
			e, err := parseEntry(answer.text(0))
			if err != nil {
				return queue.Ticket{}, "", false, lost, err
			}
			return queue.Ticket{Number: e.number, Member: answer.text(0), Ahead: int(answer.integer(1)), Lease: v.lease}, answer.text(2), true, lost, nil
		case statusBusy:
			v.repairIf(ctx, n, answer.integer(0))
			return queue.Ticket{}, "", false, lost, nil
		case statusAgain:
			if err := ctx.Err(); err != nil {
				return queue.Ticket{}, "", false, lost, err
			}
		case statusKind:
			return queue.Ticket{}, "", false, lost, kindError(v.owners, int(answer.integer(0)))
		default:
			return queue.Ticket{}, "", false, lost, answer.status.err()
		}
	}
}

// abandon takes back a registration that returned an error, or that was answered
// after it was sent more than once. A mark refuses the request for so long, should
// it arrive late. The caller's ctx may be what ended it, so it does not count here.
func (v *view) abandon(ctx context.Context, n *notifier.Notifier, token string, mark int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	r := v.request(releaseScript, n.ID(), v.ticketKeys(token), "", mark, 0)
	// What is still there after all the tries runs out with its lease.
	if answer, _, err := v.send(ctx, persistent(abandonTimeout), r); err == nil {
		deliver(n, answer)
	}
}

// deliver hands on the messages of an answer.
func deliver(n *notifier.Notifier, answer reply) {
	for _, message := range answer.messages {
		n.Deliver(message)
	}
}
