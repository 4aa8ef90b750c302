package redisqueue

import (
	"errors"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

// hostileReply makes a reply of the kinds of values that a server can send.
// What it makes depends on data alone.
func hostileReply(data []byte, depth int) (value any, rest []byte) {
	if len(data) == 0 {
		return nil, nil
	}
	kind, data := data[0]%8, data[1:]
	take := func(n int) string {
		n = min(n, len(data))
		s := string(data[:n])
		data = data[n:]
		return s
	}
	size := func() int {
		if len(data) == 0 {
			return 0
		}
		n := int(data[0])
		data = data[1:]
		return n
	}
	switch kind {
	case 0:
		return nil, data
	case 1:
		n := int64(0)
		for _, b := range []byte(take(8)) {
			n = n<<8 | int64(b)
		}
		return n, data
	case 2:
		return float64(size()), data
	case 3:
		return errors.New(take(size())), data
	case 4, 5:
		return take(size()), data
	}
	values := []any{}
	for n := size() % 12; n > 0 && depth < 4; n-- {
		value, data = hostileReply(data, depth+1)
		values = append(values, value)
	}
	return values, data
}

// replyOf is data for hostileReply: an array of strings.
func replyOf(texts ...string) []byte {
	data := []byte{7, byte(len(texts))}
	for _, text := range texts {
		data = append(append(data, 4, byte(len(text))), text...)
	}
	return data
}

const goodEntry = "1764000000000000:0123456789abcdef0123456789abcdef.1:1764000000000"

// FuzzReply: whatever a server answers to a script, nothing panics, and
// what comes out of it is what a ticket can be. One value that is no array is an answer
// where a fast way may give it, and nowhere else.
func FuzzReply(f *testing.F) {
	f.Add([]byte{})
	f.Add(replyOf("ok", ""))
	f.Add(replyOf("ok", goodEntry, ""))
	f.Add(replyOf("gone", goodEntry))
	f.Add(replyOf("nonsense"))
	f.Add(append(append([]byte{7, 5, 4, 2, 'o', 'k', 1, 0, 0, 0, 0, 0, 0, 0, 1, 4, 1, '9'},
		append([]byte{7, 3}, append(append([]byte{4, byte(len(goodEntry))}, goodEntry...), 4, 6, 'a', ' ', 'b', ' ', 'c', ' ', 1, 1)...)...), 4, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		value, _ := hostileReply(data, 0)
		hostileTogether(t, value)
		_, several := value.([]any)
		if _, err := positionScript().reply(value); err == nil && !several {
			t.Errorf("%v is an answer to position.lua", value)
		}
		if _, err := releaseScript().reply(value); err == nil && !several && value != int64(1) {
			t.Errorf("%v is an answer to release.lua", value)
		}
		answer, err := registerScript().reply(value)
		if err != nil {
			return
		}
		if (answer.status == statusOK) != (answer.status.err() == nil) {
			t.Errorf("status %q is the error %v", answer.status, answer.status.err())
		}
		if answer.status == "" {
			t.Errorf("%v is an answer without a status", value)
		}
		handOn(notifier.New(nil, tokenOf), answer)
		for _, ticket := range answer.evicted {
			if _, err := parseEntry(ticket.Member); err != nil {
				t.Errorf("evicted %q: %v", ticket.Member, err)
			}
		}
		for i := range len(answer.values) + 1 {
			at[int64](answer, i)
			_, _ = parseEntry(at[string](answer, i))
			for n, m := range appendMembers(nil, time.UnixMilli(at[int64](answer, 0)), at[[]any](answer, i)) {
				entry, err := parseEntry(m.Ticket.Member)
				if err != nil || entry.number != m.Ticket.Number || m.Ticket.Ahead != n || m.Ticket.Number < 0 {
					t.Errorf("member %d of %v is %+v", n, at[[]any](answer, i), m)
				}
			}
		}
	})
}

// hostileTogether hands out a hostile answer to two requests that went together: each has
// an answer or an error, or is sent alone.
func hostileTogether(t *testing.T, value any) {
	for script, together := range map[*script]*joint{registerScript(): registerTogether, releaseScript(): releaseTogether} {
		b := new(group)
		for range 2 {
			r := request{script: script, keys: make([]string, 3), args: make([]any, 6), joint: together}
			b.all = append(b.all, &pending{request: r, ctx: t.Context(), done: make(chan struct{})})
		}
		b.prepare(false)
		b.command.SetVal(value)
		if again := b.answered(); len(again) > 0 {
			continue
		}
		for i, p := range b.all {
			<-p.done
			if p.err == nil {
				answer, err := p.script.reply(p.value)
				if err != nil || together == releaseTogether {
					continue
				}
				if n, err := answer.ahead(1, 3); err == nil && n == 0 && (i > 0 || value.([]any)[0] != int64(0)) {
					t.Errorf("request %d of %v owns", i, value)
				}
			}
		}
	}
}
