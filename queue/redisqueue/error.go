package redisqueue

import (
	"context"
	"crypto/tls"
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

// failed returns what an operation returns that err has ended: a *[queue.Error] with
// what can be done about it.
func (v *view) failed(ctx context.Context, operation string, err error) error {
	advice := v.advice(err)
	switch ended := contextError(ctx); {
	case ended == nil && isContextError(err):
		err = &clientTimeoutError{err}
	case ended != nil && !isFinal(err) && !errors.Is(err, ended):
		err = fmt.Errorf("%w: %w", ended, err)
	}
	if advice != "" {
		err = fmt.Errorf("%w (%s)", err, advice)
	}
	return &queue.Error{Op: operation, Queue: v.String(), Err: err}
}

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

func isContextError(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// contextError returns ctx.Err(), or what it is about to be: a connection may
// see the deadline a moment before the ctx does.
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

// classify returns the error of a request as the queue knows it.
func (s *storage) classify(err error) error {
	switch {
	case isReply(err):
		return scriptError(err)
	case errors.Is(err, redis.ErrClosed) && s.isClosed():
		return fmt.Errorf("%w: %w", queue.ErrClosed, err)
	}
	return err
}

// isClosed reports whether the client is closed, after an error that says so. A Ring
// whose addresses change closes the client of a shard, and goes on.
func (s *storage) isClosed() bool {
	ring, ok := s.client.(sharded)
	if !ok {
		return true
	}
	_, err := s.shardOf(ring)
	return errors.Is(err, redis.ErrClosed)
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
// asks for the arguments of what it does not send, too.)
func isUnsent(err error) bool {
	var unsent unsentError
	var dial *net.OpError
	return errors.As(err, &unsent) || isWithoutConnection(err) || errors.As(err, &dial) && dial.Op == "dial"
}

// isWithoutConnection reports whether the client had no connection to spare.
func isWithoutConnection(err error) bool {
	return errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// raised is what Queue before 7.0 says of an error that a script ran into: the
// script, the line, and the error, with its code in the middle of the text.
//
//	ERR Error running script (call to f_...): @user_script:61: WRONGTYPE Operation against ...
//	ERR Error running script (call to f_...): @user_script:14: @user_script: 14: -OOM command not ...
var raised = regexp.MustCompile(`(?s)^ERR Error running script \(call to f_([0-9a-f]+)\): @user_script:([0-9]+): (?:@user_script: [0-9]+: -?)?(.*)$`)

// raisedError is such an error in the words of later servers, which begin with
// the code.
type raisedError struct {
	error // what the server said
	text  string
}

var _ redis.Error = (*raisedError)(nil)

func (e *raisedError) Error() string { return e.text }
func (e *raisedError) Unwrap() error { return e.error }
func (*raisedError) RedisError()     {}

// scriptError returns err, which a script ended with, with its code in front,
// where whoever asks for a code looks for it.
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

// passing are the codes of refusals that pass by themselves: another client's script
// runs, the server has just started, or a slot moves.
var passing = []string{"BUSY", "LOADING", "TRYAGAIN", "MOVED", "ASK"}

// refusals are the other codes with which a server says that it executes nothing just
// now, but may do so later.
var refusals = []string{"MASTERDOWN", "CLUSTERDOWN", "READONLY", "NOREPLICAS", "MISCONF"}

// isPassing reports whether err is a refusal whose end is in sight, or there was no
// connection to spare.
//
// While a queue's keys are at two nodes of a Cluster neither of them runs a
// script (TRYAGAIN, or in a script what has no code). A ticket that is to be made has
// a key at none, so that this lasts for as long as the whole slot takes to move.
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

const (
	password = "the server wants another user name and password from the client"
	rights   = "the user needs the commands, keys and channels that the documentation of redisqueue.Queue lists"
)

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
		return "nobody new can join; who is in line is not affected"
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

// adviceWithoutReply says what an error may mean that did not come from the server.
func (s *storage) adviceWithoutReply(err error) string {
	var header tls.RecordHeaderError
	var timeout net.Error
	switch {
	case s == nil:
		return ""
	case errors.As(err, &header), errors.As(err, &timeout) && timeout.Timeout() && retryOf(s.client).tls:
		return "if that happens each time, the port may not be one for TLS, which the client's TLSConfig asks for"
	case errors.Is(err, io.EOF) && !retryOf(s.client).tls:
		return "if that happens each time, the port may be one for TLS, which needs a TLSConfig in the client's options"
	}
	return ""
}
