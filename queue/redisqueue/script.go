package redisqueue

import (
	"embed"
	"fmt"
	"strings"
	"sync"

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
