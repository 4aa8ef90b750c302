package redisqueue

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
)

//go:embed scripts/*.lua
var scripts embed.FS

// One Lua script for each operation, behind the files that it builds on.
var (
	registerScript     = newScript("first", "prelude", "enrol", "register")
	tryRegisterScript  = newScript("first", "prelude", "enrol", "try-register")
	positionScript     = newScript("prelude", "position")
	refreshScript      = newScript("prelude", "refresh")
	releaseScript      = newScript("last", "prelude", "leave", "release")
	abandonScript      = newScript("prelude", "leave", "abandon")
	cleanupStaleScript = newScript("prelude", "cleanup-stale")
	isEmptyScript      = newScript("prelude", "is-empty")
	maybeCleanupScript = newScript("prelude", "maybe-cleanup")
	membersScript      = newScript("prelude", "members")
)

func newScript(names ...string) *redis.Script {
	var source strings.Builder
	for _, name := range names {
		text, err := scripts.ReadFile("scripts/" + name + ".lua")
		if err != nil {
			panic(err) // the files are part of the program
		}
		source.Write(text)
	}
	return redis.NewScript(source.String())
}

// runScript runs a script by its hash, or by its source where the server does
// not know it (yet, or any more).
//
// It is redis.Script.Run, but for one thing: an execution by hash that found
// no script was none, and sent must not count it.
func runScript(ctx context.Context, client redis.Scripter, script *redis.Script, sent *sending, keys []string, args ...any) (reply, error) {
	cmd := script.EvalSha(ctx, client, keys, args...)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		if sent != nil {
			sent.times.Add(-1)
		}
		cmd = script.Eval(ctx, client, keys, args...)
	}
	value, err := cmd.Result()
	if err != nil {
		lookAround(ctx, client, err)
		return reply{}, scriptError(err)
	}
	answer, err := newReply(value)
	queue.Evicted(ctx, answer.evicted)
	return answer, err
}

// lookAround has the client of a Cluster ask, in the background, which node has
// which slots, after an error that did not come from a node. By itself it does so
// when a node tells it that it is not the one, which a node that is down does
// not, and then once a minute: a lease may be shorter than that.
func lookAround(ctx context.Context, client any, err error) {
	if cluster, ok := client.(interface{ ReloadState(context.Context) }); ok && !isReply(err) && ctx.Err() == nil {
		cluster.ReloadState(ctx)
	}
}

// sending is an argument of a command that counts how often the command was
// sent. The client repeats a command by itself when it gets no reply, and an
// answer to the second time means something else: a ticket that is not there
// may have been removed by the first.
//
// It counts also what was redirected by a Cluster, so it may be too high, but
// never too low: 0 means that the server has not heard of it.
type sending struct {
	value string
	times atomic.Int32
}

// MarshalBinary is called each time that the client writes the command.
func (s *sending) MarshalBinary() ([]byte, error) {
	s.times.Add(1)
	return []byte(s.value), nil
}

// status is the first element of a script's answer. See prelude.lua.
type status string

const (
	statusOK        status = "ok"
	statusGone      status = "gone"
	statusAgain     status = "again"
	statusBusy      status = "busy"
	statusCrowded   status = "crowded"
	statusExhausted status = "exhausted"
	statusRefused   status = "refused"
)

// reply is a script's answer.
type reply struct {
	status  status
	values  []any  // what is between the first and the last element
	message string // the grant of a head whose hub is our own; empty if none
	evicted []queue.Ticket
}

func newReply(value any) (reply, error) {
	values, ok := value.([]any)
	if !ok {
		// The short ways, first.lua and last.lua, answer one value. Where a
		// number belongs behind it, that is 0.
		return reply{status: statusOK, values: []any{value}}, nil
	}
	if len(values) < 2 {
		return reply{}, fmt.Errorf("the script answered %d values", len(values))
	}
	last := values[len(values)-1]
	var dead []any
	if news, ok := last.([]any); ok && len(news) > 0 {
		last, dead = news[0], news[1:]
	}
	first, ok1 := values[0].(string)
	message, ok2 := last.(string)
	if !ok1 || !ok2 {
		return reply{}, fmt.Errorf("the script answered %T and %T", values[0], last)
	}
	return reply{
		status:  status(first),
		values:  values[1 : len(values)-1],
		message: message,
		evicted: evictedTickets(dead),
	}, nil
}

// evictedTickets makes tickets of the entries that a script has removed.
func evictedTickets(entries []any) (tickets []queue.Ticket) {
	for _, e := range entries {
		member, _ := e.(string)
		if entry, err := parseRedisEntry(member); err == nil {
			tickets = append(tickets, queue.Ticket{Number: entry.number, Member: member})
		}
	}
	return tickets
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
