package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
)

func isContextError(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// contextError returns ctx.Err(), or the error that it is about to be: a
// connection may see the deadline a moment before the ctx does.
func contextError(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// isReply reports whether err is an error that the server replied with.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// isFinal reports whether asking again would not change err: it came back from the
// server, which did not refuse to answer, or would come again without asking it.
func isFinal(err error) bool {
	var answer answerError
	return isReply(err) && !isRefusal(err) || errors.As(err, &answer) ||
		errors.Is(err, queue.ErrNotQueued) || errors.Is(err, queue.ErrClosed)
}

// isTransient reports whether the next attempt may well succeed: the server refuses,
// or the network has failed. A certificate that is not trusted, say, will not be
// trusted in a moment.
func isTransient(err error) bool {
	var network net.Error
	return isRefusal(err) || isWithoutConnection(err) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, redis.ErrClosed)
}

// isUnsent reports whether err has kept a request from being sent. (A ClusterClient
// asks for the arguments of commands that it does not send, too.)
func isUnsent(err error) bool {
	var unsent unsentError
	var dial *net.OpError
	return errors.As(err, &unsent) || isWithoutConnection(err) || errors.As(err, &dial) && dial.Op == "dial"
}

// isWithoutConnection reports whether the client had no connection to spare.
func isWithoutConnection(err error) bool {
	return errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// raised is the answer of Redis before 7.0 to an error in a script: the
// script, the line, and the error, with its code in the middle of the text.
//
//	ERR Error running script (call to f_...): @user_script:61: WRONGTYPE Operation against ...
//	ERR Error running script (call to f_...): @user_script:14: @user_script: 14: -OOM command not ...
var raised = regexp.MustCompile(`(?s)^ERR Error running script \(call to f_([0-9a-f]+)\): @user_script:([0-9]+): (?:@user_script: [0-9]+: -?)?(.*)$`)

// raisedError is such an error in the words of later servers, which begin with
// the code.
type raisedError struct {
	error // of the server
	text  string
}

var _ redis.Error = (*raisedError)(nil)

func (e *raisedError) Error() string { return e.text }
func (e *raisedError) Unwrap() error { return e.error }
func (*raisedError) RedisError()     {}

// scriptError returns err, which a script ended with, with its code in front,
// where code looks for it.
func scriptError(err error) error {
	if !isReply(err) {
		return err
	}
	m := raised.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	return &raisedError{err, fmt.Sprintf("%s script: %s, on @user_script:%s.", m[3], m[1], m[2])}
}

// code returns the code of an error that the server replied with, which is its first
// word in capitals, "ERR" if it has none, and "" if err is no reply.
func code(err error) string {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return ""
	}
	first, _, _ := strings.Cut(reply.Error(), " ")
	if strings.ToUpper(first) != first {
		return "ERR"
	}
	return first
}

// says reports whether err is a reply without a code of its own, and has one of the
// texts in it. (Lua in Valkey 9 says some of them in other words.)
func says(err error, texts ...string) bool {
	var reply redis.Error
	return errors.As(err, &reply) && code(err) == "ERR" &&
		slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(reply.Error(), text) })
}

// connecting are the codes of passing refusals after which the client of a Cluster may
// have connected to another node, or anew: it may have got them as it connected.
var connecting = []string{"BUSY", "LOADING", "MOVED", "ASK"}

// passing are the codes of refusals that pass by themselves: another client's script
// runs, the server has just started, or a slot moves.
var passing = append([]string{"TRYAGAIN"}, connecting...)

// refusals are the other codes with which a server says that it executes nothing just
// now, but may do so later.
var refusals = []string{"MASTERDOWN", "CLUSTERDOWN", "READONLY", "NOREPLICAS", "MISCONF"}

// isPassing reports whether err is a refusal whose end is in sight, or there was no
// connection to spare.
//
// While a queue's keys are at two nodes of a Cluster neither of them runs a
// script (TRYAGAIN, or in a script no code). A ticket that is to be made has a key
// at none, so that this lasts for as long as the whole slot takes to move.
func isPassing(err error) bool {
	return isWithoutConnection(err) || slices.Contains(passing, code(err)) ||
		says(err, "non local key", "undeclared keys were accessed")
}

// isRefusal reports whether err is a refusal of the server, which has done
// nothing.
func isRefusal(err error) bool {
	return isReply(err) && (isPassing(err) || slices.Contains(refusals, code(err)) ||
		says(err, "max number of clients", "while the cluster is down"))
}

// unsentError is an error of a request that the server has not heard of.
type unsentError struct{ error }

func (e unsentError) Unwrap() error { return e.error }

// resentError is what the client said of a request before it sent it once more, and has
// said nothing since: it is asked again as that says, and may have been executed.
type resentError struct{ error }

func (e resentError) Unwrap() error { return e.error }

// isExecuted reports whether the server may have executed the request.
func isExecuted(err error) bool {
	var resent resentError
	return errors.As(err, &resent) || !isUnsent(err) && !isRefusal(err)
}

// answerError is an answer of a script other than success, in words. Nothing
// was done.
type answerError string

func (e answerError) Error() string { return string(e) }

const (
	errCrowded   = answerError("more than 1000 entries in the queue's ZSET are no tickets: remove them, or give the queue another name")
	errExhausted = answerError("the numbers are used up: the seq key or an entry says almost 1<<53; give the queue another name, or delete its keys while no process uses it")
	errRefused   = answerError("the registration was given up before it was taken: register anew")
)

// errDisplaced is of an owner that stands behind others, which live.
var errDisplaced = fmt.Errorf("the server has gone back to what was before, and those in front of it live: %w", queue.ErrNotQueued)

// kindError says that a line of one kind cannot be joined through a view of the
// other. ours and theirs are the owners of both: 0 is exclusive.
func kindError(ours, theirs int) error {
	return answerError(fmt.Sprintf("the line is held as %s; %s cannot join it: give one of them another name",
		kind(theirs), kind(ours)))
}

func kind(owners int) string {
	if owners == 0 {
		return "a Mutex (exclusive)"
	}
	return "a Semaphore (shared)"
}
