package redisqueue

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/queue"
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

// FuzzRedisReply: whatever a server answers to a script, nothing panics, and
// what comes out of it is what a ticket can be.
func FuzzRedisReply(f *testing.F) {
	f.Add([]byte{})
	f.Add(replyOf("ok", ""))
	f.Add(replyOf("ok", goodEntry, ""))
	f.Add(replyOf("gone", goodEntry+" PROOF"))
	f.Add(replyOf("nonsense"))
	f.Add(append(append([]byte{7, 5, 4, 2, 'o', 'k', 1, 0, 0, 0, 0, 0, 0, 0, 1, 4, 1, '9'},
		append([]byte{7, 3}, append(append([]byte{4, byte(len(goodEntry))}, goodEntry...), 4, 6, 'a', ' ', 'b', ' ', 'c', ' ', 1, 1)...)...), 4, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		value, _ := hostileReply(data, 0)
		answer, err := newReply(value)
		if err != nil {
			return
		}
		if (answer.status == statusOK) != (answer.status.err() == nil) {
			t.Errorf("status %q is the error %v", answer.status, answer.status.err())
		}
		newHub(nil).deliver(answer.message)
		for i := range len(answer.values) + 1 {
			answer.integer(i)
			_, _ = parseRedisEntry(answer.text(i))
			for n, m := range appendMembers(nil, time.UnixMilli(answer.integer(0)), answer.list(i)) {
				entry, err := parseRedisEntry(m.Ticket.Member)
				if err != nil || entry.number != m.Ticket.Number || m.Ticket.Ahead != n || m.Ticket.Number < 0 {
					t.Errorf("member %d of %v is %+v", n, answer.list(i), m)
				}
			}
		}
	})
}

// FuzzRedisMessage: a message is a grant only for the ticket that it names and
// only with its proof, a hint only where no proof is known, and nothing else
// does anything.
func FuzzRedisMessage(f *testing.F) {
	const proof = "PROOFPROOFPROOFPROOFPROOFP"
	const ours, hinted = "0123456789abcdef0123456789abcdef.1", "0123456789abcdef0123456789abcdef.2"
	for _, message := range []string{
		"", " ", ":", "::", "1:" + ours + ":1 " + proof, "1:" + ours + ":1", "1:" + ours + ":1 ", "1:" + ours + ":1  " + proof,
		"1:" + ours + ":1 " + proof + " ", "1:" + ours + ":1 " + proof + "\n", "1:" + hinted + ":1 x", "1:" + hinted, ":" + ours + " " + proof,
		"1:" + ours + ":1 " + strings.ToLower(proof), strings.Repeat("1:"+ours+":1 "+proof, 100), "1:" + ours + ":" + strings.Repeat("1", 600) + " " + proof,
	} {
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, message string) {
		h := newHub(nil)
		h.listening = true // so that opening leaves no hint
		h.open(ours, proof)
		h.open(hinted, "")
		h.deliver(message)
		select {
		case w := <-h.mailboxes[ours].wake:
			if w != queue.WakeOwner || !strings.HasSuffix(message, " "+proof) || !strings.Contains(message, ":"+ours) {
				t.Errorf("%q made a %v for the ticket with the proof", message, w)
			}
		default:
			if message == "1:"+ours+":1 "+proof {
				t.Errorf("%q made no grant", message)
			}
		}
		select {
		case w := <-h.mailboxes[hinted].wake:
			if w != queue.WakeHint || !strings.Contains(message, ":"+hinted) {
				t.Errorf("%q made a %v for the ticket without a proof", message, w)
			}
		default:
		}
	})
}
