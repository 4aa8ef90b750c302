package redisqueue

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/clients"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

//go:embed scripts/*.lua
var sources embed.FS

// One Lua script for each operation, behind the files that it builds on. A program
// without a queue in Redis does not build them.
var (
	registerScript     = newScript("register_fast", "register_behind", "presence", "lib", "join", "register")
	tryRegisterScript  = newScript("register_fast", "presence", "lib", "join", "try_register")
	positionScript     = newScript("presence", "lib", "position")
	refreshScript      = newScript("presence", "lib", "refresh")
	releaseScript      = newScript("release_fast", "release_next", "presence", "lib", "release")
	cleanupStaleScript = newScript("presence", "lib", "cleanup_stale")
	isEmptyScript      = newScript("presence", "lib", "is_empty")
	maybeCleanupScript = newScript("presence", "lib", "maybe_cleanup")
	membersScript      = newScript("presence", "lib", "members")
	repairScript       = newScript("presence", "lib", "repair")
	seenScript         = newScript("seen")
)

// script is the text of a script, and the hash by which a server knows it.
type script struct{ source, hash string }

func newScript(names ...string) func() *script {
	return sync.OnceValue(func() *script {
		var source strings.Builder
		for _, name := range names {
			text, err := sources.ReadFile("scripts/" + name + ".lua")
			if err != nil {
				panic(err) // the files are part of the program
			}
			source.Write(text)
		}
		return &script{source.String(), redis.NewScript(source.String()).Hash()}
	})
}

// request is one call of a script.
type request struct {
	script  *script
	keys    []string
	args    []any
	whole   bool   // the source of the script is sent
	ordered bool   // after those before it, see senders
	joint   *joint // what does it for several; nil if nothing does
}

// command returns the request as EVALSHA (with the script's hash) or EVAL (with its
// source).
func (r request) command(ctx context.Context) command {
	name, text := "evalsha", r.script.hash
	if r.whole {
		name, text = "eval", r.script.source
	}
	args := make([]any, 0, 3+len(r.keys)+len(r.args))
	args = append(args, name, text, len(r.keys))
	for _, key := range r.keys {
		args = append(args, key)
	}
	cmd := redis.NewCmd(ctx, append(args, r.args...)...)
	cmd.SetFirstKeyPos(3)
	return command{cmd, new(atomic.Bool)}
}

// request is a call of one of the view's scripts. args are those behind the owners
// and the notifier; the last is the presence of the process.
func (v *view) request(script func() *script, notifier string, keys []string, args ...any) request {
	return request{script: script(), keys: keys, args: append(append([]any{v.owners, notifier}, args...), v.presenceText())}
}

// ofLine is a request for a script that is given the keys of the line.
func (o *operation) ofLine(script func() *script, args ...any) request {
	return o.request(script, o.notifier.ID(), o.keys(), args...)
}

// ofTicket is a request for a script that is given the keys of the ticket, too.
func (o *operation) ofTicket(script func() *script, args ...any) request {
	return o.request(script, o.notifier.ID(), o.ticketKeys(o.token), args...)
}

// command is a script on its way to the server. The client must not send it again by
// itself: an answer to a request that was sent twice means something else, because
// a ticket that is not there may have been removed by the first. So the queue counts.
// The client still repeats what it knows not to have been executed: a request that a
// node of a Cluster has redirected, or that did not get onto the wire.
type command struct {
	*redis.Cmd
	touched *atomic.Bool
}

// NoRetry is asked by the client, its pipelines included.
func (command) NoRetry() bool { return true }

// Args is called when the client writes the command, and maybe before: a command that
// it has not asked for its arguments was not sent.
func (c command) Args() []any {
	c.touched.Store(true)
	return c.Cmd.Args()
}

// errNoAnswer is said of a client that returned without an answer and without an error.
var errNoAnswer = errors.New("the client gave no answer")

// answer returns what the client has made of it.
func (c command) answer() (any, error) {
	value, err := c.Result()
	if value == nil && err == nil {
		err = errNoAnswer
	}
	if err != nil && !c.touched.Load() && !isReply(err) {
		err = unsentError{err}
	}
	return value, err
}

// unsentError is an error of a request that the server has not heard of.
type unsentError struct{ error }

func (e unsentError) Unwrap() error { return e.error }

// attempt sends a request once: by the hash of its script, or by its source where
// the server does not know it yet, or any more. An execution by hash that found no
// script was none.
func (s *storage) attempt(ctx context.Context, r request) (reply, error) {
	sent := time.Now()
	by := &s.senders.free
	switch {
	case r.ordered:
		by = &s.senders.ordered
	case r.joint != nil:
		by = s.joining
	}
	value, err := by.do(ctx, r)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		r.whole, r.joint = true, nil
		value, err = by.do(ctx, r)
	}
	if err != nil {
		s.reloadState(ctx, err)
		return reply{}, s.classify(err)
	}
	if s.presence != nil {
		s.presence.Answered(sent)
	}
	answer, err := newReply(value)
	queue.Evicted(ctx, answer.evicted)
	return answer, err
}

// reloadState has the client of a Cluster ask, in the background, which node has
// which slots, after an error that did not come from a node. By itself it does so
// when a node tells it that it is not the one, which a node that is down does
// not, and then once a minute: a lease may be shorter than that.
func (s *storage) reloadState(ctx context.Context, err error) {
	if cluster, ok := s.client.(interface{ ReloadState(context.Context) }); ok && !isReply(err) && ctx.Err() == nil {
		_ = clients.Call(func() error { cluster.ReloadState(ctx); return nil })
	}
}

// send sends a request until it is answered, or p is over, or ctx has ended. lost is
// how often it was sent, and may have been executed, without an answer.
func (s *storage) send(ctx context.Context, p patience, r request) (answer reply, lost int, err error) {
	began := time.Now()
	answer, err = s.attempt(ctx, r)
	if err == nil || isFinal(err) {
		return answer, 0, err // as nearly always
	}
	return s.sendAgain(ctx, p, r, began, err)
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

// exchange is ask with a patience, and leaves it to the caller what the status means.
// lost is how often the request may have been executed without an answer.
func (o *operation) exchange(ctx context.Context, p patience, r request) (answer reply, lost int, err error) {
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
		deliver(o.notifier, answer)
		if answer.status != statusAgain {
			return answer, lost, nil
		}
		if err := ctx.Err(); err != nil {
			return reply{}, lost, err
		}
	}
}

// status is the first element of a script's answer. See lib.lua.
type status string

const (
	statusOK        status = "ok"
	statusGone      status = "gone"
	statusAgain     status = "again"
	statusBusy      status = "busy"
	statusCrowded   status = "crowded"
	statusExhausted status = "exhausted"
	statusRefused   status = "refused"
	statusKind      status = "kind"
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

// reply is a script's answer.
type reply struct {
	status   status
	values   []any    // what is between the first and the last element
	messages []string // the entries of tickets of our own notifier that own now
	evicted  []queue.Ticket
}

func newReply(value any) (reply, error) {
	values, ok := value.([]any)
	if !ok {
		// The fast ways answer one value. Where a number belongs behind it, that
		// is 0.
		return reply{status: statusOK, values: []any{value}}, nil
	}
	if len(values) < 2 {
		return reply{}, fmt.Errorf("the script answered %d values", len(values))
	}
	first, _ := values[0].(string)
	answer := reply{status: status(first), values: values[1 : len(values)-1]}
	if news, ok := values[len(values)-1].([]any); ok && len(news) > 0 {
		answer.readNews(news)
	}
	return answer, nil
}

// readNews reads how many messages there are, the messages, and the entries that
// the script has removed.
func (r *reply) readNews(news []any) {
	count, _ := news[0].(int64)
	for i, v := range news[1:] {
		member, _ := v.(string)
		if int64(i) < count {
			r.messages = append(r.messages, member)
		} else if e, err := parseEntry(member); err == nil {
			r.evicted = append(r.evicted, queue.Ticket{Number: e.number, Member: member})
		}
	}
}

// integer returns the i'th value, 0 if it is none.
func (r reply) integer(i int) int64 {
	if i >= len(r.values) {
		return 0
	}
	n, _ := r.values[i].(int64)
	return n
}

// text returns the i'th value, "" if it is none.
func (r reply) text(i int) string {
	if i >= len(r.values) {
		return ""
	}
	s, _ := r.values[i].(string)
	return s
}

// list returns the i'th value, nil if it is none.
func (r reply) list(i int) []any {
	if i >= len(r.values) {
		return nil
	}
	l, _ := r.values[i].([]any)
	return l
}

// deliver hands on the messages of an answer.
func deliver(n *notifier.Notifier, answer reply) {
	for _, message := range answer.messages {
		n.Deliver(message)
	}
}
