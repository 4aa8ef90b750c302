package redisqueue

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// said is an error as go-redis makes it of what a server replied.
type said string

func (s said) Error() string { return string(s) }
func (said) RedisError()     {}

const (
	sha    = "094d6a630cbbab0eee8ae1b80e9c1d60fe40455b"
	during = "ERR Error running script (call to f_" + sha + "): "
)

// What servers said when a script of ours, or a command in it, failed. Where it
// is not told which, Queue 7.0 to 8.0 and Valkey 7.2 and 8.0 say the same.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		text             string
		code             string
		refusal, passing bool
		advice           string // what is in it
	}{
		{"WRONGTYPE Operation against a key holding the wrong kind of value script: " + sha + ", on @user_script:237.", "WRONGTYPE", false, false, "delete it"},
		{"OOM command not allowed when used memory > 'maxmemory'. script: " + sha + ", on @user_script:14.", "OOM", false, false, "no ticket can be taken"},
		{"READONLY You can't write against a read only replica. script: " + sha + ", on @user_script:14.", "READONLY", true, false, "primary"},
		{"NOREPLICAS Not enough good replicas to write. script: " + sha + ", on @user_script:14.", "NOREPLICAS", true, false, ""},
		{"MISCONF Queue is configured to save RDB snapshots, but it's currently unable to persist to disk.", "MISCONF", true, false, ""},
		{"MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.", "MISCONF", true, false, ""},
		{"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "MASTERDOWN", true, false, ""},
		{"CLUSTERDOWN The cluster is down", "CLUSTERDOWN", true, false, ""},
		{"BUSY Queue is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "BUSY", true, true, ""},
		{"LOADING Queue is loading the dataset in memory", "LOADING", true, true, ""},
		{"TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN", true, true, ""},
		{"ASK 1584 127.0.0.1:20426", "ASK", true, true, ""},
		{"MOVED 1584 127.0.0.1:20426", "MOVED", true, true, ""},
		{"ERR max number of clients reached", "max", true, false, ""},
		{"ERR Script attempted to access a non local key in a cluster node script: " + sha + ", on @user_script:1.", "Script", true, true, ""},
		// Valkey 9
		{"ERR Attempted to access a non local key in a cluster node script: " + sha + ", on @user_script:1.", "Attempted", true, true, ""},
		{"ERR Can not execute a write command 'zrem' while the cluster is down and readonly script: " + sha + ", on @user_script:14.", "Can", true, false, ""},
		{"ERR Unable to execute command 'exists' in script because undeclared keys were accessed during rehashing of the slot script: " + sha + ", on @user_script:77.", "Unable", true, true, ""},
		{"ERR Script attempted to execute a write command while the cluster is down and readonly script: " + sha + ", on @user_script:14.", "Script", true, false, ""},
		{"NOPERM No permissions to access a key", "NOPERM", false, false, "documentation"},
		{"NOPERM User c has no permissions to run the 'evalsha' command", "NOPERM", false, false, "documentation"},
		{"ERR ACL failure in script: User a has no permissions to run the 'zadd' command script: " + sha + ", on @user_script:15.", "ACL", false, false, "documentation"},
		{"ERR ACL failure in script: No permissions to access a key script: " + sha + ", on @user_script:1.", "ACL", false, false, "documentation"},
		{"NOAUTH Authentication required.", "NOAUTH", false, false, "password"},
		{"ERR Protocol error: unauthenticated multibulk length", "Protocol", false, false, "password"},
		{"WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS", false, false, "password"},
		{"ERR unknown command 'evalsha', with args beginning with: 'x' ", "unknown", false, false, "Sentinel"},
		// What is in the middle of a text, such as the name of a user, is no code.
		{"NOPERM User BUSY has no permissions to run the 'evalsha' command", "NOPERM", false, false, "documentation"},

		// Queue 7.0
		{"ERR The user executing the script can't run this command or subcommand script: " + sha + ", on @user_script:15.", "The", false, false, "documentation"},

		// Queue 6.2
		{during + "@user_script:237: WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE", false, false, "delete it"},
		{during + "@user_script:14: @user_script: 14: -OOM command not allowed when used memory > 'maxmemory'.", "OOM", false, false, "no ticket can be taken"},
		{during + "@user_script:286: @user_script: 286: -READONLY You can't write against a read only replica.", "READONLY", true, false, "primary"},
		{during + "@user_script:14: @user_script: 14: -NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", true, false, ""},
		{during + "@user_script:1: @user_script: 1: Lua script attempted to access a non local key in a cluster node", "Lua", true, true, ""},
		{during + "@user_script:14: @user_script: 14: Lua script attempted to execute a write command while the cluster is down and readonly", "Lua", true, false, ""},
		{during + "@user_script:290: @user_script: 290: The user executing the script can't run this command or subcommand", "The", false, false, "documentation"},
		{during + "@user_script:1: @user_script: 1: The user executing the script can't access at least one of the keys mentioned in the command arguments", "The", false, false, "documentation"},
		{during + "@user_script:1: user_script:1: attempt to index local 'a' (a nil value)", "user_script", false, false, ""},
	} {
		t.Run(test.text, func(t *testing.T) {
			reply := said(test.text)
			err := scriptError(reply)
			if !redis.HasErrorPrefix(err, test.code) {
				t.Errorf("%v; want %s in front", err, test.code)
			}
			if !errors.Is(err, reply) {
				t.Errorf("%v does not wrap what the server said", err)
			}
			if isRefusal(err) != test.refusal || isFinal(err) == test.refusal || isPassing(err) != test.passing {
				t.Errorf("refusal %t, final %t, passing %t; want %t, %t, %t",
					isRefusal(err), isFinal(err), isPassing(err), test.refusal, !test.refusal, test.passing)
			}
			o := operation{view: &New(nil, "x").view, verb: "register"}
			full := o.end(t.Context(), err)
			if !redis.HasErrorPrefix(full, test.code) {
				t.Errorf("%v; want %s in front of what it wraps", full, test.code)
			}
			if advice := strings.TrimPrefix(full.Error(), fmt.Sprintf("redis queue %q: register: %v", "x", err)); !strings.Contains(advice, test.advice) || (test.advice == "") != (advice == "") {
				t.Errorf("the advice is %q; want %q", advice, test.advice)
			}
		})
	}
}

// Queue 6.2 is made to speak as Queue 7.0 does, code, script and line.
func TestErrorsOfScripts(t *testing.T) {
	for old, want := range map[string]string{
		"@user_script:237: WRONGTYPE Operation against a key holding the wrong kind of value":         "WRONGTYPE Operation against a key holding the wrong kind of value script: " + sha + ", on @user_script:237.",
		"@user_script:14: @user_script: 14: -OOM command not allowed when used memory > 'maxmemory'.": "OOM command not allowed when used memory > 'maxmemory'. script: " + sha + ", on @user_script:14.",
	} {
		if got := scriptError(said(during + old)).Error(); got != want {
			t.Errorf("%q became %q; want %q", old, got, want)
		}
		if got := scriptError(said(want)); got != said(want) {
			t.Errorf("%q became %q; want that it stays", want, got)
		}
	}
}

// What is no reply of a server stays as it is, whatever it says.
func TestErrorsOfTheClient(t *testing.T) {
	err := errors.New(during + "@user_script:14: @user_script: 14: -BUSY x")
	if got := scriptError(err); got != err || isRefusal(got) || isFinal(got) || isPassing(got) {
		t.Errorf("%v was taken for what a server replied", got)
	}
}

// A registration waits for the end of a refusal that passes, but no longer than its policy says.
func TestPatienceHasAnEnd(t *testing.T) {
	const passing = 10 * time.Second // longer than brief's
	p := retryPolicy{longest: brief.longest, passing: passing}
	busy, down := said("BUSY"), said("MASTERDOWN")
	for _, test := range []struct {
		err   error
		few   bool
		since time.Duration
		want  bool
	}{
		{busy, false, passing - 1, true},
		{busy, true, passing, false},
		{down, true, p.longest - 1, true},
		{down, true, p.longest, false},
		{down, false, 0, false},
	} {
		if got := p.goesOn(test.err, test.few, test.since); got != test.want {
			t.Errorf("%v after %v, few: %v: it goes on: %v, want %v", test.err, test.since, test.few, got, test.want)
		}
	}
}
