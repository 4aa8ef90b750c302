package redisqueue

import (
	"embed"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

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

	line     string
	notifier *notifier.Notifier // hears of the line: see late
}

// heardBy is the request of a line that the notifier hears of.
func (r request) heardBy(n *notifier.Notifier, line string) request {
	r.notifier, r.line = n, line
	return r
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
