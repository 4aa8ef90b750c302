package redisqueue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

// operation is one call of a method of a view, from begin to end.
type operation struct {
	*view
	verb     string             // of the method, in words
	ticket   *queue.Ticket      // that it is about; nil if it is about the line
	token    string             // of the ticket, or of the one that it is to take
	notifier *notifier.Notifier // hears of the line
}

// begin is how every operation begins: with all that needs no server.
func (v *view) begin(ctx context.Context, verb string) (o operation, err error) {
	o = operation{view: v, verb: verb}
	if v.storage == nil {
		return o, errors.New("the Queue was not made by New: use the pointer that New returns")
	}
	if v.err != nil {
		return o, v.err
	}
	if err := ctx.Err(); err != nil {
		return o, err
	}
	o.notifier, err = v.publisher()
	return o, err
}

// beginTicket is begin for an operation on a ticket. A ticket that cannot be
// one of this queue is not in line.
func (v *view) beginTicket(ctx context.Context, verb string, t *queue.Ticket) (operation, error) {
	o, err := v.begin(ctx, verb)
	o.ticket = t
	if err != nil {
		return o, err
	}
	e, err := parseEntry(t.Member)
	if err != nil || e.number != t.Number || o.notifier.IsElsewhere(e.token, o.name) {
		return o, queue.ErrNotQueued
	}
	o.token = e.token
	return o, nil
}

// end returns the method's error when err has ended the operation: nil, or a
// *[queue.Error].
func (o *operation) end(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	verb, advice := o.verb, ""
	if o.ticket != nil {
		verb = fmt.Sprintf("%s ticket %d", verb, o.ticket.Number)
	}
	if o.storage != nil {
		advice = o.advice(err)
	}
	switch ended := contextError(ctx); {
	case ended == nil && isContextError(err):
		err = &clientTimeoutError{err}
	case ended != nil && !isFinal(err) && !errors.Is(err, ended):
		err = fmt.Errorf("%w: %w", ended, err)
	}
	if advice != "" {
		err = fmt.Errorf("%w (%s)", err, advice)
	}
	return &queue.Error{Op: verb, Queue: o.String(), Err: err}
}

// request is a call of one of the view's scripts. args are those behind the owners
// and the notifier; behind them is whether there is crash detection.
func (v *view) request(script func() *script, notifier string, keys []string, args ...any) request {
	detects := ""
	if v.presence != nil {
		detects = "1"
	}
	return request{script: script(), keys: keys, args: append(append([]any{v.owners, notifier}, args...), detects)}
}

// ofLine is a request for a script that is given the keys of the line.
func (o *operation) ofLine(script func() *script, args ...any) request {
	return o.request(script, o.notifier.ID(), o.keys(), args...).heardBy(o.notifier, o.name)
}

// ofTicket is a request for a script that is given the keys of the ticket, too.
func (o *operation) ofTicket(script func() *script, args ...any) request {
	return o.request(script, o.notifier.ID(), o.ticketKeys(o.token), args...).heardBy(o.notifier, o.name)
}

// ask sends a request, which may be executed more than once, until its script is through
// with the dead.
func (o *operation) ask(ctx context.Context, r request) (reply, error) {
	answer, _, err := o.exchange(ctx, brief, r)
	if err != nil {
		return reply{}, err
	}
	return answer, answer.status.err()
}

// exchange is ask with a policy of its own, and leaves the status to the caller. lost is how
// often the request may have been executed without an answer.
func (o *operation) exchange(ctx context.Context, p retryPolicy, r request) (answer reply, lost int, err error) {
	defer func() {
		if lost > 0 {
			o.notifier.Reload(o.name) // a lost reply may have carried a message for one of ours
		}
	}()
	for {
		answer, more, err := o.send(ctx, p, r)
		lost += more
		if err != nil {
			return reply{}, lost, err
		}
		handOn(o.notifier, answer)
		if answer.status != statusAgain {
			return answer, lost, nil
		}
		if err := ctx.Err(); err != nil {
			return reply{}, lost, err
		}
	}
}

// askOfTicket is ask about the ticket, which may be found gone.
func (o *operation) askOfTicket(ctx context.Context, script func() *script, args ...any) (reply, error) {
	answer, err := o.ask(ctx, o.ofTicket(script, append([]any{o.ticket.Member}, args...)...))
	if errors.Is(err, queue.ErrNotQueued) {
		o.forget(true)
		o.lapse()
	}
	return answer, err
}

// forget drops all that is kept of the ticket, which is not in line, or given up. gone says
// that it was found to have left before.
func (o *operation) forget(gone bool) {
	o.notifier.Drop(o.token)
	o.dropBefore()
	o.notifier.Leave(o.token, gone, o.presence)
}

// dropBefore drops what is kept of the ticket where it was taken, if that was for the shard
// that had the keys before.
func (o *operation) dropBefore() {
	if before := o.before.Load(); before != nil && before != o.notifier {
		before.Drop(o.token)
	}
}

// lapse forgets that requests for a ticket were sent more than once when the lease of what
// they may bring is over: the ticket is gone, or its release was not answered, and no other
// may follow.
func (o *operation) lapse() {
	s, token := o.storage, o.token
	if s.senders.resent.CompareAndSwap(token, false, true) { // once
		time.AfterFunc(s.leaseOf(o.ticket), func() { s.senders.resent.Delete(token) })
	}
}

// repairIf repairs the leases if an answer says -1 for how long the owners are
// believed: one has longer to go than it was made, because the server's clock was
// set back, or has no end. Best effort: another call will see it too.
func (o *operation) repairIf(ctx context.Context, milliseconds int64) {
	if milliseconds >= 0 {
		return
	}
	for done := int64(0); done >= 0; {
		answer, err := o.ask(ctx, o.ofLine(repairScript, done))
		if err != nil {
			return
		}
		done = at[int64](answer, 0)
	}
}

// advice says what to do about an error.
func (s *storage) advice(err error) string {
	switch code(err) {
	case "":
		return s.adviceWithoutReply(err)
	case "WRONGTYPE":
		return "one of the keys " + s.prefix + "* is not this queue's; delete it, or give the queue another name"
	case "NOPERM":
		return rights
	case "READONLY":
		return "the client is connected to a replica; connect it to the primary"
	case "OOM":
		return "no ticket can be taken; those in line are not affected"
	case "NOAUTH", "WRONGPASS":
		return password
	}
	switch {
	case says(err, "Protocol error: unauthenticated"): // instead of NOAUTH, to a command that is as long as a script
		return password
	case says(err, "ACL failure in script", "The user executing the script"): // instead of NOPERM; the second before Redis 7.2
		return rights
	case says(err, "unknown command"):
		return "that server runs no scripts: a Sentinel tells redis.NewFailoverClient where the server is"
	}
	return ""
}

// adviceWithoutReply explains an error that did not come from the server.
func (s *storage) adviceWithoutReply(err error) string {
	var header tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.As(err, &header), errors.As(err, &timeout) && timeout.Timeout() && optionsOf(s.client).tls:
		return "if that happens each time, the port may not be one for TLS, which the client's TLSConfig asks for"
	case errors.Is(err, io.EOF) && !optionsOf(s.client).tls:
		return "if that happens each time, the port may be one for TLS, which needs a TLSConfig in the client's options"
	}
	return ""
}

const (
	password = "the server wants another user name and password from the client"
	rights   = "the user needs the commands, keys and channels that the documentation of redisqueue.Queue lists"
)

// clientTimeoutError is a timeout of the client's own while the caller's ctx
// goes on. Package net and crypto/tls return, for the time that a connection may
// take, an error that is context.DeadlineExceeded. It is not unwrapped, so that
// this always means that the caller's time is up.
type clientTimeoutError struct{ err error }

var _ net.Error = (*clientTimeoutError)(nil)

func (e *clientTimeoutError) Error() string {
	return e.err.Error() + " (a timeout of the client, not the ctx: the server was not reached, or did not answer)"
}

func (*clientTimeoutError) Timeout() bool   { return true }
func (*clientTimeoutError) Temporary() bool { return true }

func (s status) err() error {
	switch s {
	case statusOK:
		return nil
	case statusGone:
		return queue.ErrNotQueued
	case statusCrowded:
		return errCrowded
	case statusExhausted:
		return errExhausted
	case statusRefused:
		return errRefused
	}
	return fmt.Errorf("the script answered %q", string(s))
}
