package redisqueue

import (
	"context"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
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

// CleanupStale removes those among the owners whose leases have run out.
func (v *view) CleanupStale(ctx context.Context) error {
	n, err := v.begin(ctx)
	if err == nil {
		var answer reply
		answer, err = v.repeat(ctx, n, v.request(cleanupStaleScript, n.ID(), v.keys()))
		v.repairIf(ctx, n, answer.integer(0))
	}
	return v.failed(ctx, "clean up", err)
}

// IsEmpty reports whether no ticket is in line, dead or alive.
func (v *view) IsEmpty(ctx context.Context) (bool, error) {
	n, err := v.begin(ctx)
	var answer reply
	if err == nil {
		answer, err = v.repeat(ctx, n, v.request(isEmptyScript, n.ID(), v.keys()))
	}
	return err == nil && answer.integer(0) == 1, v.failed(ctx, "is empty", err)
}

// MaybeCleanup removes the seq key if no ticket is in line, unless its number is
// ahead of the server's clock; the other keys are gone by then.
func (v *view) MaybeCleanup(ctx context.Context) {
	n, err := v.begin(ctx)
	if err != nil {
		return
	}
	// Best effort: whatever is left runs out by itself.
	_, _ = v.repeat(ctx, n, v.request(maybeCleanupScript, n.ID(), v.keys()))
}

// repairIf repairs the leases if an answer says -1 for how long the owners are
// believed: one has longer to go than it was made, because the server's clock was
// set back, or has no end. Best effort: another call will see it too.
func (v *view) repairIf(ctx context.Context, n *notifier.Notifier, milliseconds int64) {
	if milliseconds >= 0 {
		return
	}
	for done := int64(0); done >= 0; {
		answer, err := v.repeat(ctx, n, v.request(repairScript, n.ID(), v.keys(), done))
		if err != nil {
			return
		}
		done = answer.integer(0)
	}
}

// repeat runs a script, which may be executed more than once, until it is through
// with the dead.
func (v *view) repeat(ctx context.Context, n *notifier.Notifier, r request) (reply, error) {
	for {
		answer, lost, err := v.send(ctx, v.brief(), r)
		if lost > 0 {
			n.Reload(v.name) // a lost reply may have carried a message for one of ours
		}
		if err != nil {
			return reply{}, err
		}
		deliver(n, answer)
		if answer.status != statusAgain {
			return answer, answer.status.err()
		}
		if err := ctx.Err(); err != nil {
			return reply{}, err
		}
	}
}
