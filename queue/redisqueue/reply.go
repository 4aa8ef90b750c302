package redisqueue

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

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
	if first == "" {
		return reply{}, fmt.Errorf("the script answered no status but a %T", values[0])
	}
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

// late uses an answer that comes after the caller has left.
func (r request) late(value any, err error) {
	if answer, wrong := r.script.reply(value); cmp.Or(err, wrong) == nil {
		handOn(r.notifier, answer)
	} else {
		r.notifier.Reload(r.line) // the one before may have come too early
	}
}

// handOn hands on the messages of an answer.
func handOn(n *notifier.Notifier, answer reply) {
	for _, message := range answer.messages {
		n.Deliver(message)
	}
}
