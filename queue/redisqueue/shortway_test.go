package redisqueue

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
)

// The short ways (the _fast scripts, register_behind.lua and release_next.lua) repeat
// rules of lib.lua. On whatever is in the keys they do what the general way does, and say
// the same.
func TestShortWays(t *testing.T) {
	testenv.Long(t)
	client := redistest.Client(t)
	name := redistest.Name(t)
	load := []*redis.Script{takeAll}
	for _, ways := range waysOf {
		load = append(load, ways[:]...)
	}
	for _, script := range load {
		if err := script.Load(t.Context(), client).Err(); err != nil {
			t.Fatal(err)
		}
	}
	short := map[string]int{} // how often a short way was through, by operation and kind
	const states = 4000
	for seed := range uint64(states) {
		s := newRandomState(seed, "{"+name+"}:")
		whole := s.run(t, client, waysOf[s.operation][0])
		general := s.run(t, client, waysOf[s.operation][1])
		if !whole.general {
			short[s.operation+s.kind()]++
		}
		whole.general, general.general = false, false
		if !reflect.DeepEqual(whole, general) {
			t.Errorf("seed %d: %s %q\n\nof keys that are made by\n%s\n\ndid\n%v\n\nand by the general way\n%v",
				seed, s.operation, s.args, s, whole, general)
		}
	}
	t.Logf("the short ways were through in %v of %d states", short, states)
	for operation := range waysOf {
		for _, kind := range []string{" exclusive", " shared"} {
			if short[operation+kind] < states/100 {
				t.Errorf("%s%s went the general way too often to say anything of the short one", operation, kind)
			}
		}
	}
}

// waysOf are the scripts of an operation: as they are sent, and without the short ways.
var waysOf = map[string][2]*redis.Script{
	"register":     {way("register_fast", "register_behind", "/", "presence", "lib", "join", "register"), way("/", "presence", "lib", "join", "register")},
	"try_register": {way("register_fast", "/", "presence", "lib", "join", "try_register"), way("/", "presence", "lib", "join", "try_register")},
	"release":      {way("release_fast", "release_next", "/", "presence", "lib", "release"), way("/", "presence", "lib", "release")},
}

var scriptOf = map[string]func() *script{"register": registerScript, "try_register": tryRegisterScript, "release": releaseScript}

// way makes a script of files, with a clock that stands still, and a server on which a
// process is subscribed if its name says so. The answer tells what was published, and
// whether it came to where the general way begins: /.
func way(names ...string) *redis.Script {
	var source strings.Builder
	source.WriteString(`
local server, clock, published, general = redis, { ARGV[1], ARGV[2] }, {}, 0
local ARGV = { unpack(ARGV, 3) }
local function with(call)
  return function(command, ...)
    local first, second = ...
    if command == 'TIME' then
      return { clock[1], clock[2] }
    elseif command == 'PUBSUB' then
      return { second, string.find(second, 'there') and 1 or 0 }
    elseif command == 'INFO' then
      return 'run_id:abc'
    elseif command == 'PUBLISH' then
      published[#published + 1] = first .. ' ' .. second
      return 0
    end
    return call(command, ...)
  end
end
local redis = { call = with(redis.call), pcall = with(redis.pcall) }
local function way()
`)
	for _, name := range names {
		if name == "/" {
			source.WriteString("\ngeneral = 1\n")
			continue
		}
		text, err := sources.ReadFile("scripts/" + name + ".lua")
		if err != nil {
			panic(err)
		}
		source.Write(text)
	}
	source.WriteString("\nend\nlocal answer = way()\nreturn { general, answer, published }\n")
	return redis.NewScript(source.String())
}

// outcome is what a script has made of a state. Times to live are rounded: they pass
// while the test runs.
type outcome struct {
	general   bool
	failed    string // the first word of the error
	status    status
	texts     [2]string // the entry, and that in front
	number    int64     // how many must leave, or for how long the owners are believed
	messages  []string
	evicted   []queue.Ticket
	published []any
	left      []string // in the keys
}

func (o outcome) String() string {
	return fmt.Sprintf("%s%s %q %d, told %q, published %q, evicted %v, left\n%s",
		o.failed, o.status, o.texts, o.number, o.messages, o.published, o.evicted, strings.Join(o.left, "\n"))
}

// randomState is what is in the keys of a line, and a request.
type randomState struct {
	*rand.Rand
	strange   float64 // how likely each thing is to be other than usual
	things    int     // that were asked for
	only      int     // which of them is other than usual
	clock     int64   // in microseconds
	prefix    string
	owners    string  // of the request's view
	others    string  // of the view of nearly all in line
	detects   string  // whether its process has crash detection
	commands  [][]any // that make the keys
	entries   []string
	operation string
	keys      []string
	args      []any
}

func (s *randomState) String() string {
	var b strings.Builder
	for _, command := range s.commands {
		for _, word := range command {
			fmt.Fprintf(&b, " %q", fmt.Sprint(word))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// All times of a state are multiples of grain, so that those that pass while the test
// runs make no difference.
const grain = 1000000 // ms

func newRandomState(seed uint64, prefix string) *randomState {
	s := &randomState{Rand: rand.New(rand.NewPCG(seed, 1)), prefix: prefix}
	if s.IntN(3) == 0 {
		s.strange = pick(s, 0.05, 0.1, 0.3)
	} else {
		s.only = 1 + s.IntN(50)
	}
	s.clock = 1764000000*1000000 + pick[int64](s, 0, 7, 123456, 999999)
	s.others = pick(s, "0", "0", "1", "2", "3")
	s.owners = s.others
	if s.odd() {
		s.owners = pick(s, "0", "1", "2", "3")
	}
	if s.odd() {
		s.detects = "1"
	}
	s.operation = pick(s, "register", "register", "try_register", "release", "release")
	s.line()
	s.rest()
	s.request()
	return s
}

func (s *randomState) kind() string {
	if s.owners == "0" {
		return " exclusive"
	}
	return " shared"
}

func (s *randomState) odd() bool {
	s.things++
	return s.things == s.only || s.Float64() < s.strange
}

func pick[T any](s *randomState, values ...T) T { return values[s.IntN(len(values))] }

func (s *randomState) do(command ...any) { s.commands = append(s.commands, command) }

// last makes a key's time to live.
func (s *randomState) last(key string) {
	if !s.odd() {
		s.do("PEXPIRE", key, pick(s, 4, 14, 16, 26, 90)*grain/10)
	}
}

func (s *randomState) token() string {
	if s.odd() {
		return pick(s, "me.new", "nodot", "a b.c", ".x", "me.", strings.Repeat("l", 230)+".x")
	}
	return pick(s, "me", "other", "there") + "." + strconv.Itoa(s.IntN(1000))
}

func (s *randomState) number(before int64) int64 {
	number := before + 1 + s.Int64N(1000)
	if s.odd() {
		number = pick(s, 1, before, before-1, s.clock-1, s.clock, s.clock+1, s.clock+grain*1000, 1<<53-2, 1<<53-1, 1<<53, math.MaxInt64)
	}
	return max(1, number)
}

// line makes the tickets.
func (s *randomState) line() {
	queue, number, token := s.prefix+"queue", s.clock-grain, ""
	if s.Float64() < s.strange/10 {
		s.do("SET", queue, "of another kind")
		return
	}
	for range s.IntN(5) {
		number = s.number(number)
		if token == "" || !s.odd() {
			token = s.token()
		}
		entry := fmt.Sprintf("%d:%s:%d", number, token, s.clock/1000)
		if s.odd() {
			entry = pick(s, "foreign", "0"+entry, entry+":1", entry+"x", fmt.Sprintf("%d:%s", number, token), fmt.Sprintf("%d::5", number), " "+entry)
		}
		score := float64(number)
		if s.odd() {
			score = pick(s, 0, -1, score-1, score+1, 2*score, 1e300, math.Inf(-1), math.Inf(1))
		}
		s.do("ZADD", queue, strconv.FormatFloat(score, 'f', -1, 64), entry)
		s.entries = append(s.entries, entry)
		s.lease(token, entry)
	}
	if len(s.entries) > 0 {
		s.last(queue)
	}
}

func (s *randomState) lease(token, entry string) {
	key := s.prefix + "lease:" + token
	owners, presence := s.others, "-"
	if s.odd() {
		owners = pick(s, "0", "1", "2", "3", "00", "x", "")
	}
	if s.odd() {
		presence = pick(s, "?", "abc/1000000", "abc/2000000", "bad/1000000", "abc", "", "- -")
	}
	value := fmt.Sprintf("%s %d %s %s 1 host label", entry, grain, owners, presence)
	if s.odd() {
		value = pick(s, "", "x", entry, entry+" ", entry+" x 0 - 1 host ", entry+"1 1000000 0 - 1 host ", "1:me.x:1 1000000 0 - 1 host ")
	}
	switch {
	case s.odd() || s.owners != "0" && len(s.entries) > 2 && s.IntN(8) == 0: // only a shared view sees it
		s.do("DEL", key)
		return
	case s.Float64() < s.strange/10:
		s.do("DEL", key)
		s.do("RPUSH", key, value)
	default:
		s.do("SET", key, value)
	}
	s.last(key)
}

// rest makes what is beside the tickets.
func (s *randomState) rest() {
	seq, absent := s.prefix+"seq", s.prefix+"absent"
	switch {
	case s.Float64() < s.strange/10:
		s.do("RPUSH", seq, "of another kind")
	case s.odd():
		s.do("SET", seq, pick(s, "", "0", "-5", "007", "1e3", "2e15", "0x7000000000000", " 12 ", "nan", "text", "1", "9007199254740990", "9007199254740991",
			"9007199254740992", "9223372036854775807", strings.Repeat("9", 300),
			strconv.FormatInt(s.clock, 10), strconv.FormatInt(s.clock-1, 10), strconv.FormatInt(s.clock+3*grain*1000, 10)))
	case len(s.entries) > 0 && !s.odd() || s.odd():
		s.do("SET", seq, s.clock-grain/2)
	}
	s.last(seq)
	switch {
	case s.odd() && s.detects != "" && s.operation != "release": // see release_fast.lua
		s.do("SET", absent, "of another kind")
	case s.detects != "" || s.odd():
		for _, process := range []string{"me", "other", "there"} {
			if s.IntN(2) == 0 {
				s.do("HSET", absent, process, pick(s, "text", strconv.FormatInt(s.clock/1000-int64(s.IntN(4))*grain, 10), strconv.FormatInt(s.clock/1000+grain, 10)))
			}
		}
		s.last(absent)
	}
}

// request makes the arguments.
func (s *randomState) request() {
	s.args = []any{s.clock / 1000000, s.clock % 1000000, s.owners, "me"}
	token := "me.new"
	if s.operation == "release" {
		entry := "1:me.unknown:1"
		if len(s.entries) > 0 && !s.odd() {
			slices.SortStableFunc(s.entries, func(a, b string) int { return int(entryNumber(a) - entryNumber(b)) })
			entry = s.entries[0]
			if s.odd() || s.owners != "0" && s.IntN(2) == 0 {
				entry = pick(s, s.entries...)
			}
		}
		token = tokenOf(entry)
		mark, cleanup := 0, 1
		if s.odd() {
			entry = ""
		}
		if s.odd() {
			mark = grain
		}
		if s.odd() {
			cleanup = 0
		}
		s.args = append(s.args, entry, mark, cleanup)
	} else {
		if s.odd() && len(s.entries) > 0 {
			token = tokenOf(pick(s, s.entries...))
		}
		s.args = append(s.args, token, grain, 2*grain, fmt.Sprintf(" %d %s - 2 host ", grain, s.owners))
	}
	s.args = append(s.args, s.detects)
	s.keys = []string{s.prefix + "queue", s.prefix + "seq", s.prefix + "lease:" + token}
}

func entryNumber(member string) int64 {
	e, _ := parseEntry(member)
	return e.number
}

// run makes the state, runs a script on it, and removes what is left.
func (s *randomState) run(t *testing.T, client *redis.Client, script *redis.Script) (o outcome) {
	t.Helper()
	var answer, left *redis.Cmd
	_, _ = client.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for _, command := range s.commands {
			pipe.Do(t.Context(), command...)
		}
		answer = script.EvalSha(t.Context(), pipe, s.keys, s.args...)
		left = takeAll.EvalSha(t.Context(), pipe, nil, s.prefix)
		return nil
	})
	values, err := answer.Slice()
	switch {
	case err != nil && strings.Contains(err.Error(), "WRONGTYPE"):
		o.failed, o.general = "WRONGTYPE", true
	case err != nil:
		t.Fatal(err)
	default:
		o.read(t, s, values)
	}
	if o.left, err = left.StringSlice(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(o.left)
	return o
}

// takeAll returns what is in all keys of a prefix, with their times to live in tens of
// seconds, and removes them.
var takeAll = redis.NewScript(`
local all = {}
for i, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local get = { zset = { 'ZRANGE', key, 0, -1, 'WITHSCORES' }, hash = { 'HGETALL', key }, list = { 'LRANGE', key, 0, -1 }, string = { 'GET', key } }
  local value = redis.call(unpack(get[redis.call('TYPE', key).ok]))
  local left = math.floor((redis.call('PTTL', key) + 5000) / 10000)
  all[i] = string.sub(key, #ARGV[1] + 1) .. ' = ' .. (type(value) == 'table' and table.concat(value, ' ') or value) .. ' for ' .. left .. '0 s'
  redis.call('DEL', key)
end
return all
`)

// read reads an answer to a request of the state.
func (o *outcome) read(t *testing.T, s *randomState, answer []any) {
	t.Helper()
	r, err := scriptOf[s.operation]().reply(answer[1])
	if err != nil {
		t.Fatal(err)
	}
	o.general = answer[0] == int64(1)
	o.status, o.messages, o.evicted = r.status, r.messages, r.evicted
	o.published, _ = answer[2].([]any)
	o.texts = [...]string{at[string](r, 0), at[string](r, 2)}
	switch {
	case r.status == statusBusy:
		o.number = rounded(at[int64](r, 0))
	case s.operation != "release":
		o.number = at[int64](r, 1)
	}
}

func rounded(milliseconds int64) int64 { return (milliseconds + 5000) / 10000 * 10 }
