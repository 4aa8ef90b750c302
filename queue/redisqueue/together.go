package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// maxGroup is how many requests go as one call of a script: it keeps others waiting
// for a fraction of a millisecond.
const maxGroup = 64

// ticketArg is the index of the argument in which the requests of one call differ:
// the token of a registration, the entry of a release. The owners are in front of it
// with the notifier, what says whether there is crash detection is last.
const ticketArg = 2

// joins reports whether two requests may be one call: they are the same, but for the
// ticket.
func (r *request) joins(other *request) bool {
	if r.joint == nil || r.joint != other.joint || r.keys[0] != other.keys[0] {
		return false
	}
	for i, arg := range r.args {
		if i != ticketArg && arg != other.args[i] {
			return false
		}
	}
	return true
}

// group is the requests that are sent as one command: at least one.
type group struct {
	command command
	all     []*pending
}

// grouped returns a batch as commands, in its order: a request stands in the place of
// the first one that it joins.
func grouped(batch []*pending) []*group {
	var groups []*group
	for _, p := range batch {
		i := slices.IndexFunc(groups, func(b *group) bool {
			return len(b.all) < maxGroup && p.joins(&b.all[0].request)
		})
		if i < 0 {
			i = len(groups)
			groups = append(groups, new(group))
		}
		groups[i].all = append(groups[i].all, p)
	}
	for _, b := range groups {
		b.prepare(false)
	}
	return groups
}

// prepare makes the command. bySource says that it has the source of a script for several.
func (b *group) prepare(bySource bool) {
	r := b.all[0].request
	if len(b.all) > 1 {
		r = b.request()
		r.bySource = bySource
	}
	b.command = r.command(b.all[0].ctx)
}

// request is that of all. Its arguments are those of each, but the owners, and the last,
// which says that there is no crash detection; those in which they differ come last.
func (b *group) request() request {
	first := b.all[0]
	r := request{script: first.joint.script()}
	r.keys = append(make([]string, 0, 2+len(b.all)), first.keys[:2]...)
	r.args = append(make([]any, 0, len(first.args)+len(b.all)), first.args[1])
	r.args = append(r.args, first.args[ticketArg+1:len(first.args)-1]...)
	for _, p := range b.all {
		r.keys = append(r.keys, p.keys[2])
		r.args = append(r.args, p.args[ticketArg])
	}
	return r
}

// answered hands out the answer, and returns those that are to be sent now.
func (b *group) answered() []*group {
	value, err := b.command.answer()
	switch {
	case len(b.all) == 1:
		b.all[0].complete(value, err)
		return nil
	case redis.HasErrorPrefix(err, "NOSCRIPT") && b.command.Name() == "evalsha":
		b.prepare(true)
		return []*group{b}
	case err == nil && value == "alone":
		return b.split()
	}
	values, _ := value.([]any)
	if err == nil && len(values) != len(b.all)+b.all[0].joint.others {
		err = fmt.Errorf("the script answered %d values to %d requests", len(values), len(b.all))
	}
	for i, p := range b.all {
		if err != nil {
			p.complete(nil, err)
		} else {
			p.complete(p.joint.answer(values, i), nil)
		}
	}
	return nil
}

// split returns each by itself.
func (b *group) split() []*group {
	var each []*group
	for i := range b.all {
		alone := &group{all: b.all[i : i+1]}
		alone.prepare(false)
		each = append(each, alone)
	}
	return each
}

// pending is a request that waits for its answer.
type pending struct {
	request
	ctx   context.Context
	value any // the answer
	err   error
	done  chan struct{} // closed when there is the answer
}

// complete hands the answer out.
func (p *pending) complete(value any, err error) {
	p.value, p.err = value, err
	close(p.done)
}

// command returns the request as EVALSHA (with the script's hash) or EVAL (with its
// source).
func (r request) command(ctx context.Context) command {
	name, text := "evalsha", r.script.hash
	if r.bySource {
		name, text = "eval", r.script.source
	}
	args := make([]any, 0, 3+len(r.keys)+len(r.args))
	args = append(args, name, text, len(r.keys))
	for _, key := range r.keys {
		args = append(args, key)
	}
	cmd := redis.NewCmd(ctx, append(args, r.args...)...)
	cmd.SetFirstKeyPos(3)
	return command{cmd, new(progress)}
}

// command is a script on its way to the server. The client must not send it again by
// itself: an answer to a request that was sent twice means something else, because
// a ticket that is not there may have been removed by the first. So the queue counts.
// The client still repeats a request that it knows was not executed: one that a node
// of a Cluster has redirected, or that did not get onto the wire.
type command struct {
	*redis.Cmd
	*progress
}

// progress is how far a command has come.
type progress struct {
	repeatable bool // the client may write it again; written before it is sent

	asked  atomic.Bool // for its arguments
	failed atomic.Bool // the client has said an error last after which it may write it again
	again  atomic.Bool // it was asked for its arguments since
}

// NoRetry is asked by the client, its pipelines included.
func (command) NoRetry() bool { return true }

// Args is called when the client writes the command, and maybe before: a command that
// it has not asked for its arguments was not sent.
func (c command) Args() []any {
	c.asked.Store(true)
	if c.repeatable && c.failed.Load() {
		c.again.Store(true)
	}
	return c.Cmd.Args()
}

// SetErr is called with an answer, or with what has come instead of one. A Cluster's client
// writes the command again after a redirection, and if it could not get a connection: which
// a node may also refuse with an error that passes.
func (c command) SetErr(err error) {
	c.failed.Store(err != nil && (!isReply(err) || slices.Contains(connecting, code(err))))
	c.again.Store(false)
	c.Cmd.SetErr(err)
}

// errNoAnswer is said of a client that returned without an answer and without an error.
var errNoAnswer = errors.New("the client gave no answer")

// answer returns the client's answer.
//
// The client of a Cluster writes the commands of a pipeline again where a node has
// redirected them, or could not be reached, and says of a connection that breaks then only
// to those that have no error yet. Of the others, what it said before is left.
func (c command) answer() (any, error) {
	value, err := c.Result()
	if value == nil && err == nil {
		err = errNoAnswer
	}
	switch {
	case err != nil && !c.asked.Load() && !isReply(err):
		err = unsentError{err}
	case err != nil && c.again.Load(): // or a hook has looked at the arguments, which is the same to us
		err = resentError{err}
	}
	return value, err
}
