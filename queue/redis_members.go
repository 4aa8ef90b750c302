package queue

import (
	"context"
	"time"
)

// membersPage is how many entries one script call lists: it keeps others waiting
// for less than a millisecond.
const membersPage = 200

// Members lists who is in line, 200 in one round trip. Those who come or go
// while it lists a longer line may be listed or not.
func (r *Redis) Members(ctx context.Context) ([]Member, error) {
	h, err := r.begin(ctx)
	if err != nil {
		return nil, r.fail(ctx, "list the members", err)
	}
	var members []Member
	for after := "0"; after != ""; {
		answer, err := r.repeat(ctx, h, membersScript, r.keys(), after, membersPage)
		if err != nil {
			return nil, r.fail(ctx, "list the members", err)
		}
		members = appendMembers(members, time.UnixMilli(answer.integer(0)), answer.list(2))
		after = answer.text(1)
	}
	return members, nil
}

// appendMembers appends what a page says: entry, lease, and milliseconds left
// of it, in turn.
func appendMembers(members []Member, now time.Time, page []any) []Member {
	for ; len(page) >= 3; page = page[3:] {
		name, _ := page[0].(string)
		value, _ := page[1].(string)
		left, _ := page[2].(int64)
		entry, err := parseRedisEntry(name)
		if err != nil {
			continue
		}
		m := Member{
			Ticket: Ticket{entry.number, name, len(members)},
			Since:  entry.since,
			Dead:   value == "",
		}
		if said := parseRedisLease(value); said.lease > 0 {
			m.Host, m.PID = said.host, said.pid
			m.LastSeen = now.Add(time.Duration(left)*time.Millisecond - said.lease)
		}
		members = append(members, m)
	}
	return members
}
