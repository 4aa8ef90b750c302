package filequeue

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// judgePatience is how long a look at the line may wait for the seq lock to
// find out about the dead. If it is busy for longer (its holder was stopped),
// the next look will do; meanwhile it may have become our turn.
const judgePatience = 10 * time.Millisecond

// position returns how many are in front of the ticket. If judge is set, it
// removes those in front whose owners are gone.
func (d *directory) position(ctx context.Context, s *fileSettings, t queue.Ticket, judge bool) (int, error) {
	for {
		ahead, suspects, err := d.look(t)
		if errors.Is(err, errForeign) {
			return d.foreignPosition(ctx, s, t, judge)
		}
		if err != nil || !judge || len(suspects) == 0 {
			return ahead, err
		}
		gone, err := d.judge(ctx, s, suspects)
		if ended := ctx.Err(); ended != nil {
			return 0, ended // also when it ended right after the judgement: 0 alone says head
		}
		if errors.Is(err, errDirectoryGone) {
			return 0, err
		}
		if isDiskFailure(err) {
			return 0, err
		}
		// Any other error (no descriptors left, say) says nothing against what
		// we know; the next look may have more luck.
		if !gone {
			return ahead, nil
		}
	}
}

// isDiskFailure reports whether err says that the disk has failed, or that the
// file system has become read-only, as it does when it finds an error in itself.
// Nobody can leave the line any more then, so that it would never be anybody's
// turn, though what is cached may look well.
func isDiskFailure(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS)
}

// errForeign: the ticket was not taken by this process.
var errForeign = errors.New("the ticket was taken by another process")

// look returns how many are in front of the ticket of this process, and those
// among them of whom only a judgement can tell whether they are alive.
func (d *directory) look(t queue.Ticket) (ahead int, suspects []*lineEntry, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	own := d.ownTicket(t)
	if own == nil {
		return 0, nil, errForeign
	}
	ahead, err = d.place(own)
	if err != nil || ahead == 0 {
		return 0, nil, err
	}
	head, before := d.line[0], d.line[ahead-1]
	if head.doubtful() {
		suspects = append(suspects, head)
	}
	if before != head && before.doubtful() {
		suspects = append(suspects, before)
	}
	return ahead, suspects, nil
}

// doubtful reports whether the owner may be gone without our knowing.
func (e *lineEntry) doubtful() bool { return e.own == nil || e.own.stale > 0 }

// place returns how many are in front of the ticket: exactly, if that is 0 or
// 1, and more than 1 otherwise. It listens to the one directly in front, if
// anybody listens to the ticket. mu is held.
func (d *directory) place(own *ownTicket) (int, error) {
	in, err := d.inLine(own)
	if err != nil {
		return 0, err
	}
	i, _ := d.line.index(own.name)
	if !in {
		d.forget(i)
		return 0, queue.ErrNotQueued
	}
	for {
		i = d.prune(i)
		if i == 0 {
			d.listen(own, nil)
			d.announce(own)
			return 0, nil
		}
		before := d.line[i-1]
		if !own.bell.heard() || !d.listen(own, before) || d.exists(before.name) {
			return i, nil
		}
		// It left while we began to listen.
	}
}

// prune forgets those in front of the i-th who have left, from the head on and
// from directly before it on, each up to the first who is there. Who is in
// between need not be known; so the cost is that of those who have left, and
// each is forgotten once for the whole process. It returns how many remain. mu
// is held.
func (d *directory) prune(i int) int {
	for i > 0 && !d.exists(d.line[0].name) {
		d.forget(0)
		i--
	}
	for i > 1 && !d.exists(d.line[i-1].name) {
		d.forget(i - 1)
		i--
	}
	return i
}

// announce lets the next in line know that it is the next now, by touching the
// ticket's file, which it listens to. From then on it looks often, and will
// notice if the head is killed; nothing else would tell it. mu is held.
func (d *directory) announce(own *ownTicket) {
	if !own.behind {
		return
	}
	own.behind = false
	if d.foreignNext() {
		now := time.Now()
		modified := now
		if own.stale > 0 {
			modified = time.Time{} // as it is: this is no sign of life
		}
		// It is a hint: the next one looks by itself, only later.
		_ = d.root.Chtimes(own.name, now, modified)
	}
}

// foreignNext reports whether the second in line may be of another process. mu
// is held.
func (d *directory) foreignNext() bool {
	if len(d.line) > 1 {
		return d.line[1].own == nil
	}
	if d.seq == nil {
		return true
	}
	number, ok := readSeq(d.seq, contentOffset+seqSize)
	return !ok || number != d.seen
}

// judge removes the suspects whose owners are gone, with all dead heads, and
// reports whether there were any.
func (d *directory) judge(ctx context.Context, s *fileSettings, suspects []*lineEntry) (gone bool, err error) {
	l, err := d.lockSeq(ctx, s, judgePatience)
	if errors.Is(err, errBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer l.unlock()
	for _, e := range suspects {
		out, err := l.evict(e)
		if err != nil {
			return gone, err
		}
		gone = gone || out
	}
	if gone {
		err = l.evictHeads() // who dies often has others with it
	}
	return gone, err
}

// foreignPosition is position for a ticket that another process took, of which
// nothing is known in advance.
func (d *directory) foreignPosition(ctx context.Context, s *fileSettings, t queue.Ticket, judge bool) (int, error) {
	if name, ok := parseTicketName(t.Member); !ok || name.number != t.Number || !d.exists(t.Member) {
		return 0, queue.ErrNotQueued
	}
	if judge {
		if err := d.cleanupStale(ctx, s, judgePatience); err != nil && !errors.Is(err, errBusy) {
			return 0, err
		}
	}
	if !d.current() {
		return 0, errDirectoryGone
	}
	names, err := d.list()
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	ahead := 0
	for _, name := range names {
		if name == t.Member {
			return ahead, nil
		}
		if _, dead := d.undead[name]; !dead {
			ahead++
		}
	}
	return 0, queue.ErrNotQueued
}

// cleanupStale removes the dead heads.
func (d *directory) cleanupStale(ctx context.Context, s *fileSettings, patience time.Duration) error {
	if empty, err := d.empty(); empty || err != nil {
		return err
	}
	l, err := d.lockSeq(ctx, s, patience)
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := l.learn(); err != nil {
		return err
	}
	return l.evictHeads()
}

// empty reports whether there is no ticket.
func (d *directory) empty() (bool, error) {
	if d.taken() {
		return false, nil
	}
	if !d.current() {
		return false, errDirectoryGone
	}
	names, err := d.list()
	return len(names) == 0, err
}
