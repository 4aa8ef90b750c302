package redisqueue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
)

// What a script does for several requests is what the script of each does for them one
// after the other, whatever is in the keys; or it does nothing, and says "alone".
func TestTogetherAsAlone(t *testing.T) {
	testenv.Long(t)
	client := redistest.Client(t)
	name := redistest.Name(t)
	for _, script := range []*redis.Script{takeAll, waysOf["register"][0], waysOf["release"][0], waysTogether["register"], waysTogether["release"]} {
		if err := script.Load(t.Context(), client).Err(); err != nil {
			t.Fatal(err)
		}
	}
	together, apart := map[string]int{}, map[string]int{}
	const states = 4000
	for seed := range uint64(states) {
		s := newTogetherState(seed, "{"+name+"}:")
		joint, said := s.runTogether(t, client)
		if said == "alone" {
			apart[s.operation]++
			if untouched := s.left(t, client); !slices.Equal(joint.left, untouched) {
				t.Errorf("seed %d: %s was answered alone, and of\n%s\nit left\n%s", seed, s.operation, strings.Join(untouched, "\n"), strings.Join(joint.left, "\n"))
			}
			continue
		}
		together[s.operation]++
		if single := s.runEach(t, client); !reflect.DeepEqual(joint, single) {
			t.Errorf("seed %d: %s %q\n\nof keys that are made by\n%s\n\ndid\n%v\n\nand one after the other\n%v",
				seed, s.operation, s.args, s, joint, single)
		}
	}
	t.Logf("%v went together, %v apart", together, apart)
	for _, operation := range []string{"register", "release"} {
		if together[operation] < states/20 || apart[operation] < states/20 {
			t.Errorf("%s went together %d times, and apart %d times: too few", operation, together[operation], apart[operation])
		}
	}
}

var waysTogether = map[string]*redis.Script{"register": way("register_together"), "release": way("release_together")}

// togetherState is what is in the keys of a line, and requests that leave together.
type togetherState struct {
	*randomState
	each []*pending
}

func newTogetherState(seed uint64, prefix string) *togetherState {
	s := &togetherState{randomState: &randomState{Rand: rand.New(rand.NewPCG(seed, 2)), prefix: prefix}}
	if s.IntN(3) == 0 {
		s.strange = pick(s.randomState, 0.02, 0.05, 0.3)
	} else {
		s.only = 1 + s.IntN(80)
	}
	s.clock = 1764000000*1000000 + pick[int64](s.randomState, 0, 7, 123456, 999999)
	s.owners, s.others = "0", "0"
	s.operation = pick(s.randomState, "register", "release")
	s.line()
	s.rest()
	if s.operation == "register" {
		s.registrations()
	} else {
		s.releases()
	}
	return s
}

func (s *togetherState) registrations() {
	for i := range 2 + s.IntN(4) {
		token := fmt.Sprintf("me.new%d", i)
		switch {
		case s.odd() && len(s.entries) > 0:
			token = tokenOf(pick(s.randomState, s.entries...)) // the request was executed before
		case s.odd():
			s.do("SET", s.prefix+"lease:"+token, "") // or given up
		case s.odd():
			s.do("RPUSH", s.prefix+"lease:"+token, "of another kind")
		}
		if slices.ContainsFunc(s.each, func(p *pending) bool { return p.args[ticketArg] == token }) {
			continue // a token is of one call
		}
		s.add(registerScript(), registerTogether, token, token, grain, 2*grain, fmt.Sprintf(" %d 0 - 2 host ", grain))
	}
}

func (s *togetherState) releases() {
	slices.SortStableFunc(s.entries, func(a, b string) int { return int(entryNumber(a) - entryNumber(b)) })
	leaving := s.entries[:max(0, len(s.entries)-1)] // most lines do not become empty
	if s.odd() {
		leaving = s.entries
	}
	if s.odd() {
		leaving = leaving[min(len(leaving), 1):] // the first does not leave
	}
	if s.odd() {
		s.Shuffle(len(leaving), func(i, j int) { leaving[i], leaving[j] = leaving[j], leaving[i] })
	}
	for i, entry := range leaving {
		if i > 0 && s.odd() {
			continue // this one stays
		}
		if s.odd() {
			entry = pick(s.randomState, "1:me.unknown:1", "1:"+tokenOf(entry)+":1")
		}
		s.add(releaseScript(), releaseTogether, tokenOf(entry), entry, 0, 1)
	}
}

func (s *togetherState) add(script *script, together *joint, token string, args ...any) {
	keys := []string{s.prefix + "queue", s.prefix + "seq", s.prefix + "lease:" + token}
	all := append(append([]any{"0", "me"}, args...), "")
	s.args = append(s.args, args[0])
	s.each = append(s.each, &pending{request: request{script: script, keys: keys, args: all, joint: together}, ctx: context.Background(), done: make(chan struct{})})
}

// outcomes are what several requests have made of a state. A message, or what is
// published, counts only if it is for a ticket that does not leave itself.
type outcomes struct {
	failed    string
	replies   []reply
	published []any
	left      []string
}

// make makes the state.
func (s *togetherState) make(t *testing.T, pipe redis.Pipeliner) {
	for _, command := range s.commands {
		pipe.Do(t.Context(), command...)
	}
}

func (s *togetherState) withClock(args []any) []any {
	return append([]any{s.clock / 1000000, s.clock % 1000000}, args...)
}

// left returns what the state itself is.
func (s *togetherState) left(t *testing.T, client *redis.Client) []string {
	var left *redis.Cmd
	_, _ = client.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		s.make(t, pipe)
		left = takeAll.EvalSha(t.Context(), pipe, nil, s.prefix)
		return nil
	})
	return sorted(t, left)
}

func sorted(t *testing.T, left *redis.Cmd) []string {
	t.Helper()
	all, err := left.StringSlice()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// runTogether has the script for several do it.
func (s *togetherState) runTogether(t *testing.T, client *redis.Client) (o outcomes, said any) {
	t.Helper()
	if len(s.each) == 0 {
		return outcomes{left: s.left(t, client)}, "alone"
	}
	b := &group{all: s.each}
	r := b.request()
	var answer, left *redis.Cmd
	_, _ = client.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		s.make(t, pipe)
		answer = waysTogether[s.operation].EvalSha(t.Context(), pipe, r.keys, s.withClock(r.args)...)
		left = takeAll.EvalSha(t.Context(), pipe, nil, s.prefix)
		return nil
	})
	o.left = sorted(t, left)
	values, ok := s.read(t, &o, answer)
	if !ok {
		return o, nil
	}
	all, ok := values.([]any)
	if !ok {
		return o, values
	}
	if len(all) != len(s.each)+b.all[0].joint.others {
		t.Fatalf("%d values for %d requests", len(all), len(s.each))
	}
	for i := range s.each {
		s.add1(t, &o, b.all[0].joint.answer(all, i))
	}
	return o, nil
}

// runEach has the script of each do it.
func (s *togetherState) runEach(t *testing.T, client *redis.Client) (o outcomes) {
	t.Helper()
	answers := make([]*redis.Cmd, len(s.each))
	var left *redis.Cmd
	_, _ = client.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		s.make(t, pipe)
		for i, p := range s.each {
			answers[i] = waysOf[s.operation][0].EvalSha(t.Context(), pipe, p.keys, s.withClock(p.args)...)
		}
		left = takeAll.EvalSha(t.Context(), pipe, nil, s.prefix)
		return nil
	})
	for _, answer := range answers {
		if value, ok := s.read(t, &o, answer); ok {
			s.add1(t, &o, value)
		}
	}
	o.left = sorted(t, left)
	return o
}

// read reads what a way has answered.
func (s *togetherState) read(t *testing.T, o *outcomes, answer *redis.Cmd) (value any, ok bool) {
	t.Helper()
	values, err := answer.Slice()
	switch {
	case err != nil && strings.Contains(err.Error(), "WRONGTYPE"):
		o.failed = "WRONGTYPE"
		return nil, false
	case err != nil:
		t.Fatal(err)
	}
	published, _ := values[2].([]any)
	for _, message := range published {
		if text, _ := message.(string); !s.leaves(text[strings.Index(text, " ")+1:]) {
			o.published = append(o.published, message)
		}
	}
	return values[1], true
}

// add1 adds the answer to one request.
func (s *togetherState) add1(t *testing.T, o *outcomes, value any) {
	t.Helper()
	r, err := s.each[0].script.reply(value)
	if err != nil {
		t.Fatal(err)
	}
	r.messages = slices.DeleteFunc(r.messages, s.leaves)
	if len(r.messages) == 0 {
		r.messages = nil
	}
	o.replies = append(o.replies, r)
}

func (s *togetherState) leaves(entry string) bool {
	return s.operation == "release" && slices.ContainsFunc(s.each, func(p *pending) bool { return p.args[ticketArg] == entry })
}
