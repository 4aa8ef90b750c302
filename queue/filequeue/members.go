package filequeue

import (
	"errors"
	"time"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// isEmpty reports whether there is no ticket.
func (c *call) isEmpty() (bool, error) {
	if c.isTaken(1) {
		return false, nil
	}
	names, err := c.names()
	return len(names) == 0, err
}

// members lists the tickets in line. Whether one is dead is told only if the
// seq lock can be had: without it, one that is being created could be taken
// for dead.
func (c *call) members() ([]queue.Member, error) {
	names, err := c.names()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	l, err := c.lockSeq(longestLook, nil)
	switch {
	case err == nil:
		defer l.unlock()
	case errors.Is(err, errDirectoryGone):
		return nil, err
	case c.ctx.Err() != nil:
		return nil, c.ctx.Err()
	}
	var members []queue.Member
	for _, name := range names {
		if c.ctx.Err() != nil {
			return nil, c.ctx.Err() // a line of thousands would keep seq from all others
		}
		if m, ok := member(c.dir, l, name); ok {
			m.Ticket.Ahead = len(members)
			members = append(members, m)
		}
	}
	return members, nil
}

// names lists the tickets that are in the directory, if it is at its path.
func (c *call) names() ([]string, error) {
	if !c.dir.IsCurrent() {
		return nil, errDirectoryGone
	}
	return ticketNames(c.dir)
}

// member describes the ticket, unless it has just left. l may be nil.
func member(dir *lockedfile.Dir, l *seqLock, name string) (queue.Member, bool) {
	parsed, _ := parseTicketName(name)
	m := queue.Member{
		Ticket: queue.Ticket{Number: parsed.number, Member: name},
		PID:    parsed.pid,
		Since:  time.UnixMicro(parsed.number), // the time of the clock, or nearly so
	}
	f, err := dir.OpenToProbe(name)
	if err != nil {
		var notOurs *lockedfile.NotOursError
		return m, !lockedfile.IsGone(err) && !errors.As(err, &notOurs)
	}
	defer f.Close()
	said := content{}
	if read, err := readContent(f.File); err == nil {
		said = *read
	}
	m.Ticket.Lease, m.Owners, m.Label = said.stale, said.owners, said.label
	if said.stale > 0 {
		if info, err := f.Stat(); err == nil {
			m.LastSeen = info.ModTime()
		}
	}
	if l != nil {
		m.Dead = l.isDead(m.Ticket, f, said)
	}
	return m, dir.Exists(name)
}

// isDead reports whether the ticket would be evicted if it owned.
func (l *seqLock) isDead(t queue.Ticket, f *lockedfile.File, said content) bool {
	l.mu.Lock()
	e := &entry{name: t.Member, ticket: l.ticket(t), said: &said}
	l.mu.Unlock()
	if e.ticket == nil {
		if locked, err := f.TryLock(); err == nil && locked {
			return true
		}
	}
	old, _ := l.isTooOld(e)
	return old
}

// cleanupStale removes the dead owners.
func (c *call) cleanupStale() error {
	if empty, err := c.isEmpty(); empty || err != nil {
		return err
	}
	l, err := c.lockSeq(noLimit, nil)
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := l.list(); err != nil {
		return err
	}
	return l.evictOwners(c.s.slots())
}
