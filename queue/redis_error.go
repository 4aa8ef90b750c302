package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
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
		return ErrNotQueued
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
func (r *Redis) fail(ctx context.Context, operation string, err error) error {
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
func (r *Redis) failTicket(ctx context.Context, operation string, t Ticket, err error) error {
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
		errors.Is(err, ErrNotQueued) || errors.Is(err, redis.ErrClosed)
}

// refusals are what a server says when it executes nothing just now, but may
// do so later: it runs somebody else's script, has just started, or fails over.
// Before Redis 7.0 they are somewhere in the text if a script ran into them.
var refusals = []string{
	"BUSY ", "LOADING ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "MOVED ", "ASK ",
	"READONLY ", "NOREPLICAS ", "MISCONF ",
	"max number of clients",
	"attempted to access a non local key", // in a script, while a slot moves
}

// isRefusal reports whether err is a refusal of the server, which has done
// nothing.
func isRefusal(err error) bool {
	return isReply(err) && slices.ContainsFunc(refusals, func(text string) bool {
		return strings.Contains(err.Error(), text)
	})
}

// passing are the refusals that pass by themselves: somebody else's script runs,
// the server has just started, or a slot moves.
var passing = []string{
	"BUSY ", "LOADING ",
	"TRYAGAIN ", "MOVED ", "ASK ", "attempted to access a non local key",
}

// isPassing reports whether err is a refusal whose end is in sight. The client has
// tried by itself already, as often as it does.
//
// While a queue's keys are at two nodes of a Cluster neither of them runs a
// script (TRYAGAIN). A ticket that is to be made has a key at none, so that this
// lasts for as long as the whole slot takes to move.
func isPassing(err error) bool {
	return isReply(err) && slices.ContainsFunc(passing, func(text string) bool {
		return strings.Contains(err.Error(), text)
	})
}

// isFinal reports whether asking again would not change err.
func isFinal(err error) bool { return isAnswer(err) && !isRefusal(err) }

const rights = "the user needs the commands, keys and channels that the documentation of queue.Redis lists"

// advice says what to do about an answer of the server.
func (r *Redis) advice(err error) string {
	for prefix, text := range map[string]string{
		"WRONGTYPE": "one of the keys " + r.prefix + "* is not this queue's; delete it, or give the queue another name",
		"NOPERM":    rights,
		"READONLY":  "the client is connected to a replica; connect it to the primary",
		"OOM":       "nobody new can join; who is in line is not affected",
		// What Redis 7.0 says instead of NOPERM when a script lacks a right.
		"The user executing the script": rights,
	} {
		if redis.HasErrorPrefix(err, prefix) {
			return " (" + text + ")"
		}
	}
	return ""
}
