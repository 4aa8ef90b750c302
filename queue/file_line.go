package queue

import (
	"slices"
	"strings"
	"time"
)

// line is what a process knows of who stands in line, in order.
//
// It may know of some who have left, and it need not know everybody. But of a
// ticket of this process it knows everybody who is in front: the directory was
// listed when the ticket was taken, and nobody can come in before it any more.
// So a hand-off needs no listing, however long the line.
type line []*lineEntry

type lineEntry struct {
	name string
	own  *ownTicket // nil: taken by another process

	// stale is the timeout that a foreign ticket's file says it has; not read
	// yet as long as it is negative. Guarded by the seq lock.
	stale time.Duration
}

// index is where the ticket is, or where it would be.
func (l line) index(name string) (int, bool) {
	// Most look for the first: the holder, or the next one.
	if len(l) > 0 && l[0].name == name {
		return 0, true
	}
	return slices.BinarySearchFunc(l, name, func(e *lineEntry, name string) int {
		return strings.Compare(e.name, name)
	})
}

func (l *line) insert(i int, e *lineEntry) { *l = slices.Insert(*l, i, e) }

func (l *line) remove(i int) {
	if i == 0 { // the usual case, and the one that must not cost by length
		(*l)[0] = nil
		*l = (*l)[1:]
		return
	}
	*l = slices.Delete(*l, i, i+1)
}
