package redisqueue

import (
	"context"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// membersPage is how many entries one script call lists: it keeps others waiting
// for less than a millisecond.
const membersPage = 200

// Members lists the tickets in line, 200 in one round trip. A ticket that
// comes or goes while it lists a longer line may be listed or not.
func (v *view) Members(ctx context.Context) (members []queue.Member, err error) {
	o, err := v.begin(ctx, "list the members")
	if err == nil {
		members, err = o.members(ctx)
	}
	return members, o.end(ctx, err)
}

func (o *operation) members(ctx context.Context) ([]queue.Member, error) {
	var members []queue.Member
	from, over := "1", int64(0)
	for from != "" {
		answer, err := o.ask(ctx, o.ofLine(membersScript, from, over, membersPage))
		if err != nil {
			return nil, err
		}
		members = appendMembers(members, time.UnixMilli(at[int64](answer, 0)), at[[]any](answer, 3))
		from, over = at[string](answer, 1), at[int64](answer, 2)
	}
	return members, nil
}

// appendMembers appends the tickets of a page: in turn an entry, its lease,
// milliseconds left of that, and since when its process is absent.
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
			m.Unseen = said.presence == unseen || absent < 0
			if !m.Unseen {
				m.CrashDetection = said.grace()
			}
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

// CleanupStale removes those among the owners whose leases have run out.
func (v *view) CleanupStale(ctx context.Context) error {
	o, err := v.begin(ctx, "clean up")
	if err == nil {
		var answer reply
		answer, err = o.ask(ctx, o.ofLine(cleanupStaleScript))
		o.repairIf(ctx, at[int64](answer, 0))
	}
	return o.end(ctx, err)
}

// IsEmpty reports whether no ticket is in line, dead or alive.
func (v *view) IsEmpty(ctx context.Context) (bool, error) {
	o, err := v.begin(ctx, "see whether it is empty")
	var answer reply
	if err == nil {
		answer, err = o.ask(ctx, o.ofLine(isEmptyScript, 0))
	}
	return err == nil && at[int64](answer, 0) == 1, o.end(ctx, err)
}

// MaybeCleanup removes the seq key if no ticket is in line, unless its number is
// ahead of the server's clock; the other keys are gone by then.
func (v *view) MaybeCleanup(ctx context.Context) {
	o, err := v.begin(ctx, "maybe clean up")
	if err == nil {
		_, _ = o.ask(ctx, o.ofLine(isEmptyScript, 1)) // the rest runs out by itself
	}
}
