package redisqueue

import (
	"context"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// membersPage is how many entries one script call lists: it keeps others waiting
// for less than a millisecond.
const membersPage = 200

// Members lists who is in line, 200 in one round trip. Those who come or go
// while it lists a longer line may be listed or not.
func (r *Queue) Members(ctx context.Context) ([]queue.Member, error) {
	h, err := r.begin(ctx)
	if err != nil {
		return nil, r.fail(ctx, "list the members", err)
	}
	var members []queue.Member
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
func appendMembers(members []queue.Member, now time.Time, page []any) []queue.Member {
	for ; len(page) >= 3; page = page[3:] {
		name, _ := page[0].(string)
		value, _ := page[1].(string)
		left, _ := page[2].(int64)
		entry, err := parseRedisEntry(name)
		if err != nil {
			continue
		}
		m := queue.Member{
			Ticket: queue.Ticket{Number: entry.number, Member: name, Ahead: len(members)},
			Since:  entry.since,
			Dead:   value == "",
		}
		if said := parseRedisLease(value); said.lease > 0 {
			m.Ticket.Lease = said.lease
			m.Host, m.PID = said.host, said.pid
			m.LastSeen = now.Add(time.Duration(left)*time.Millisecond - said.lease)
		}
		members = append(members, m)
	}
	return members
}
