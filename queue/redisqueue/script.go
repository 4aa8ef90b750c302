package redisqueue

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
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

// script is the text of a script, the hash by which a server knows it, and the file in
// front, which decides what it may answer.
type script struct{ source, hash, first string }

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
		return &script{source.String(), redis.NewScript(source.String()).Hash(), names[0]}
	})
}

// request is one call of a script.
type request struct {
	script   *script
	keys     []string
	args     []any
	bySource bool   // the source of the script is sent
	ordered  bool   // after those before it, see senders
	joint    *joint // does it for several; nil if there is none
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
	return command{cmd, new(atomic.Bool)}
}

// command is a script on its way to the server. The client must not send it again by
// itself: an answer to a request that was sent twice means something else, because
// a ticket that is not there may have been removed by the first. So the queue counts.
// The client still repeats a request that it knows was not executed: one that a node
// of a Cluster has redirected, or that did not get onto the wire.
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

// answer returns the client's answer.
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

// refuses reports whether it is the error of a registration that has taken nothing.
func (s status) refuses() bool {
	switch s {
	case statusCrowded, statusExhausted, statusRefused, statusKind:
		return true
	}
	return false
}

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
	values   []any    // the elements between the first and the last
	messages []string // the entries of tickets of our own notifier that own now
	evicted  []queue.Ticket
}

// reply reads an answer. What is not of the shape that the script gives is none: it may be
// a late one to another request on the connection.
func (s *script) reply(value any) (reply, error) {
	switch {
	case s.first == "register_fast":
		if entry, ok := value.(string); ok {
			return reply{status: statusOK, values: []any{entry, int64(0), ""}}, nil
		}
	case s.first == "release_fast" && value == int64(1):
		return reply{status: statusOK, values: []any{""}}, nil
	}
	values, ok := value.([]any)
	if !ok {
		return reply{}, fmt.Errorf("the script answered a %T", value)
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

// ahead returns the i'th of so many values, which is how many must leave before a ticket
// owns. What is no such number is not 0, by which it would own.
func (r reply) ahead(i, count int) (int, error) {
	if len(r.values) == count {
		if n, ok := r.values[i].(int64); ok && n >= 0 {
			return int(n), nil
		}
	}
	return 0, errors.New("the script did not answer how many are ahead")
}

// at returns the i'th value of an answer, zero if it is none of that type.
func at[T any](r reply, i int) (value T) {
	if i < len(r.values) {
		value, _ = r.values[i].(T)
	}
	return value
}

// joint is a script for several requests of one line. In one step it does the same as the
// scripts of all of them, one after the other. Requests that leave together go as a call
// of it, which costs the server and the client a fraction.
//
// If one of them is not the usual case, the script answers "alone" and has changed
// nothing; then each is sent by itself. The fate of the call is that of each: an error
// is the error of each, and without an answer each may have been executed. A request
// that is sent again goes by itself, so that no script for several has to know of
// earlier executions.
type joint struct {
	script func() *script
	others int // how many values its answer has besides one for each request

	// answer returns what the i'th request would have been answered alone, nil if the
	// values are not what the script answers.
	answer func(values []any, i int) []any
}

var registerTogether = &joint{newScript("register_together"), 2, func(values []any, i int) []any {
	ahead, ok := values[0].(int64)
	if !ok || ahead < 0 {
		return nil
	}
	return []any{string(statusOK), values[2+i], ahead + int64(i), values[1+i], ""}
}}

var releaseTogether = &joint{newScript("release_together"), 1, func(values []any, i int) []any {
	if _, ok := values[i].(string); !ok {
		return nil
	}
	if i == len(values)-2 {
		return []any{string(statusOK), values[i], values[i+1]}
	}
	return []any{string(statusOK), values[i], ""}
}}
