package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
)

// answerError is what a script can answer besides success, in words. Nothing
// was done.
type answerError string

func (e answerError) Error() string { return string(e) }

const (
	errCrowded   = answerError("more than 1000 entries in the queue's ZSET are no tickets: remove them, or give the queue another name")
	errExhausted = answerError("the numbers are used up: the seq key or an entry says almost 1<<53; when nobody is in line, delete the queue's keys")
	errRefused   = answerError("the registration was given up before it was taken: register anew")
)

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

// fail wraps err, which ended an operation, with the operation and the queue.
func (r *Queue) fail(ctx context.Context, operation string, err error) error {
	switch ended := contextError(ctx); {
	case ended == nil && isContextError(err):
		err = &clientTimeoutError{err}
	case ended != nil && !isFinal(err) && !errors.Is(err, ended):
		err = fmt.Errorf("%w: %w", ended, err)
	}
	return fmt.Errorf("%v: %s: %w%s", r, operation, err, r.advice(err))
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

// failTicket wraps err, which ended an operation on a ticket.
func (r *Queue) failTicket(ctx context.Context, operation string, t queue.Ticket, err error) error {
	return r.fail(ctx, fmt.Sprintf("%s ticket %d", operation, t.Number), err)
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

// isAnswer reports whether err came back from the server, or is one that
// would come again without asking it. Any other error leaves open what the server
// has done.
func isAnswer(err error) bool {
	var answer answerError
	return isReply(err) || errors.As(err, &answer) ||
		errors.Is(err, queue.ErrNotQueued) || errors.Is(err, redis.ErrClosed)
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

// hasPrefix reports whether err is an error that the server replied with, and
// begins with one of the texts; an ERR in front of it does not count.
func hasPrefix(err error, texts []string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return redis.HasErrorPrefix(err, text) })
}

// refusals are what a server says when it executes nothing just now, but may
// do so later: it runs somebody else's script, has just started, or fails over.
var refusals = append([]string{
	"MASTERDOWN ", "CLUSTERDOWN ", "READONLY ", "NOREPLICAS ", "MISCONF ",
	"max number of clients",
	// In a script, where the Cluster may be read while it is down.
	"Script attempted to execute a write command while the cluster is down",
	"Lua script attempted to execute a write command while the cluster is down", // before Queue 7.0
}, passing...)

// isRefusal reports whether err is a refusal of the server, which has done
// nothing.
func isRefusal(err error) bool { return hasPrefix(err, refusals) }

// passing are the refusals that pass by themselves: somebody else's script runs,
// the server has just started, or a slot moves.
var passing = []string{
	"BUSY ", "LOADING ", "TRYAGAIN ", "MOVED ", "ASK ",
	// In a script, while a slot moves.
	"Script attempted to access a non local key",
	"Lua script attempted to access a non local key", // before Queue 7.0
	"Unable to execute command",                      // since Queue 7.2, of keys found by the script
}

// isPassing reports whether err is a refusal whose end is in sight. The client has
// tried by itself already, as often as it does.
//
// While a queue's keys are at two nodes of a Cluster neither of them runs a
// script (TRYAGAIN). A ticket that is to be made has a key at none, so that this
// lasts for as long as the whole slot takes to move.
func isPassing(err error) bool { return hasPrefix(err, passing) }

// isFinal reports whether asking again would not change err.
func isFinal(err error) bool { return isAnswer(err) && !isRefusal(err) }

const password = "the server wants another user name and password from the client"

const rights = "the user needs the commands, keys and channels that the documentation of redisqueue.Queue lists"

// advice says what to do about an answer of the server.
func (r *Queue) advice(err error) string {
	for prefix, text := range map[string]string{
		"WRONGTYPE": "one of the keys " + r.prefix + "* is not this queue's; delete it, or give the queue another name",
		"NOPERM":    rights,
		"READONLY":  "the client is connected to a replica; connect it to the primary",
		"OOM":       "nobody new can join; who is in line is not affected",
		"NOAUTH":    password,
		"WRONGPASS": password,
		// What is said instead of NOAUTH to a command that is as long as a script.
		"Protocol error: unauthenticated": password,
		// What is said instead of NOPERM when a script lacks a right.
		"ACL failure in script":         rights,
		"The user executing the script": rights, // before Queue 7.2
	} {
		if redis.HasErrorPrefix(err, prefix) {
			return " (" + text + ")"
		}
	}
	return ""
}
