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
func (v *view) Members(ctx context.Context) ([]queue.Member, error) {
	members, err := v.members(ctx)
	return members, v.failed(ctx, "list the members", err)
}

func (v *view) members(ctx context.Context) ([]queue.Member, error) {
	n, err := v.begin(ctx)
	if err != nil {
		return nil, err
	}
	var members []queue.Member
	from, over := "1", int64(0)
	for from != "" {
		answer, err := v.repeat(ctx, n, v.request(membersScript, n.ID(), v.keys(), from, over, membersPage))
		if err != nil {
			return nil, err
		}
		members = appendMembers(members, time.UnixMilli(answer.integer(0)), answer.list(3))
		from, over = answer.text(1), answer.integer(2)
	}
	return members, nil
}

// appendMembers appends what a page says: entry, lease, and milliseconds left
// of it, and since when its process is absent, in turn.
func appendMembers(members []queue.Member, now time.Time, page []any) []queue.Member {
	for ; len(page) >= 4; page = page[4:] {
		name, _ := page[0].(string)
		value, _ := page[1].(string)
		left, _ := page[2].(int64)
		absent, _ := page[3].(int64)
		e, err := parseEntry(name)
		if err != nil {
			continue
		}
		m := queue.Member{
			Ticket: queue.Ticket{Number: e.number, Member: name, Ahead: len(members)},
			Since:  e.since,
			Dead:   value == "",
		}
		if said := parseLease(value); said.lease > 0 {
			m.Ticket.Lease = said.lease
			m.Owners, m.Host, m.PID, m.Label = said.owners, said.host, said.pid, said.label
			m.CrashDetection = said.grace()
			if absent > 0 {
				m.Gone = time.UnixMilli(absent)
				m.Dead = now.Sub(m.Gone) >= m.CrashDetection
			}
			if left >= 0 {
				m.LastSeen = now.Add(time.Duration(left)*time.Millisecond - said.lease)
			}
		}
		members = append(members, m)
	}
	return members
}
