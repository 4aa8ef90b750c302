package filequeue

import (
	"context"
	"errors"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// members lists who is in line. Whether somebody is dead is told only if the
// seq lock can be had.
func (d *directory) members(ctx context.Context, s *fileSettings) ([]queue.Member, error) {
	if !d.current() {
		return nil, errDirectoryGone
	}
	names, err := d.list()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	var l *seqLock
	l, err = d.lockSeq(ctx, s, judgePatience)
	switch {
	case err == nil:
		defer l.unlock()
	case errors.Is(err, errDirectoryGone):
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	var members []queue.Member
	for _, name := range names {
		if m, ok := d.member(l, name); ok {
			m.Ticket.Ahead = len(members)
			members = append(members, m)
		}
	}
	return members, nil
}

// member describes the ticket, unless it has just left. l may be nil.
func (d *directory) member(l *seqLock, name string) (queue.Member, bool) {
	parsed, _ := parseTicketName(name)
	m := queue.Member{
		Ticket: queue.Ticket{Number: parsed.number, Member: name},
		PID:    parsed.pid,
		Since:  time.UnixMicro(parsed.number), // what the clock said, or nearly so
	}
	m.Ticket.Lease = d.readTicket(name)
	if m.Ticket.Lease > 0 {
		if info, err := d.root.Lstat(name); err == nil {
			m.LastSeen = info.ModTime()
		}
	}
	if l != nil {
		m.Dead = l.isDead(name)
	}
	return m, d.exists(name)
}

// isDead reports whether the ticket would be evicted if it were the head.
func (l *seqLock) isDead(name string) bool {
	l.d.mu.Lock()
	own := l.d.own[name]
	l.d.mu.Unlock()
	e := &lineEntry{name: name, own: own, stale: -1}
	if own == nil {
		probe, verdict, _ := l.probe(e)
		if verdict != alive {
			if probe != nil {
				dropFlock(probe)
			}
			return verdict == dead
		}
	}
	old, _ := l.tooOld(e)
	return old
}
