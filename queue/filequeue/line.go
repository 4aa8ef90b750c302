package filequeue

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fifolock/fifolock/queue"
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

// list returns the names of all tickets that are there, in order.
func (d *directory) list() ([]string, error) {
	f, err := d.root.Open(".")
	if isGone(err) {
		return nil, errDirectoryGone
	}
	if err != nil {
		return nil, fmt.Errorf("listing the directory: %w", err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if isGone(err) {
		return nil, errDirectoryGone // removed in between
	}
	if err != nil {
		return nil, fmt.Errorf("listing the directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, ok := parseTicketName(e.Name()); ok && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, strings.Compare)
	return names, nil
}

// merge makes the line what a listing made under the seq lock has found. mu is
// held.
func (d *directory) merge(names []string) {
	i := 0
	for _, name := range names {
		for i < len(d.line) && d.line[i].name < name {
			d.forget(i)
		}
		if i == len(d.line) || d.line[i].name != name {
			if _, ok := d.undead[name]; ok {
				continue
			}
			d.insert(i, &lineEntry{name: name, stale: -1})
		}
		i++
	}
	for i < len(d.line) {
		d.forget(i)
	}
	for name := range d.undead {
		if _, ok := slices.BinarySearch(names, name); !ok {
			delete(d.undead, name)
		}
	}
}

// insert puts somebody in line. mu is held.
func (d *directory) insert(i int, e *lineEntry) {
	d.line.insert(i, e)
	if i == len(d.line)-1 {
		name, _ := parseTicketName(e.name)
		d.highest = max(d.highest, name.number)
	}
}

// forget takes one who has left out of the line, and tells the next if it is
// of this process. mu is held.
func (d *directory) forget(i int) {
	e := d.line[i]
	d.line.remove(i)
	if i < len(d.line) && d.line[i].own != nil {
		d.line[i].own.bell.ring(queue.WakeHint)
	}
	if e.own != nil {
		d.drop(e.own)
	}
}

// drop lets go of a ticket of this process that is not in line any more. mu is
// held, and the caller has a use of its own.
func (d *directory) drop(t *ownTicket) {
	delete(d.own, t.name)
	d.setAlarm()
	d.listen(t, nil)
	t.bell.ring(queue.WakeHint) // it shall find out
	t.close()
	d.done()
}
