package filequeue

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/memqueue"
)

// lineUnderTest is a line, and the same in memory: what is really in line, of which the
// line under test knows what it was told.
type lineUnderTest struct {
	*testing.T
	line    line
	real    queue.TicketQueue
	members map[string]queue.Ticket // of the one in memory, by the names in the other
	names   []string                // really in line
	dead    []string                // remote, not in line, and their files stay
	kept    []string                // local, not in line, and their files stay
	pending []string                // what the listing that is being made will say
	since   []string                // have left the line since that was begun
	owned   map[string]bool         // local, and were told or taken as owners
}

// FuzzLine: the local tickets that own by the line are exactly those that own in memory,
// as soon as all that has happened is known; and before that, no ticket owns by it that
// does not in memory. Each is told once that it owns, and goes on owning where a dead one in
// front of it is listed again. Half of them are of n slots, half of one more.
func FuzzLine(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0x10, 2, 0, 3}, uint8(1))
	f.Add([]byte{0x21, 0x11, 0x21, 0x11, 0x32, 0x22, 0x12, 3, 0x02}, uint8(2))
	f.Add([]byte{1, 1, 1, 0, 0, 0, 4, 4, 4, 3, 2, 2, 2}, uint8(3))
	f.Add([]byte{0, 1, 0, 1, 0x15, 3, 0x05, 2}, uint8(1))
	f.Add([]byte{0, 0, 0, 0x0a}, uint8(0))    // the middle one leaves
	f.Add([]byte{0, 0, 0, 7, 2, 7}, uint8(0)) // the first one leaves during a listing
	f.Add([]byte{1, 0, 6, 3, 6, 2}, uint8(0)) // the first one is dead, and is found dead again
	f.Add([]byte{1, 0, 7, 6, 7, 0}, uint8(0)) // the first one is found dead during a listing
	f.Add([]byte{0, 0, 4, 3}, uint8(0))       // the first one leaves, and its file stays
	f.Fuzz(func(t *testing.T, steps []byte, slots uint8) {
		n := 1 + int(slots%4)
		if len(steps) > 200 {
			t.Skip("longer than it need be")
		}
		l := &lineUnderTest{
			T: t, line: newLine(), real: memqueue.New(),
			members: make(map[string]queue.Ticket), owned: make(map[string]bool),
		}
		for number, step := range steps {
			l.step(int64(number)+1, step&7, int(step>>3), n)
			l.check()
		}
	})
}

// step does what the number says, to the ticket that which chooses.
func (l *lineUnderTest) step(number int64, what byte, which, n int) {
	switch {
	case l.line.listing && (what == 0 || what == 1 || what == 3 || what == 7): // it ends: these are done with the seq lock, too
		l.endListing()
	case what == 7:
		l.beginListing()
	case what == 0: // a local one joins, having listed the directory
		l.beginListing()
		l.endListing()
		for _, name := range l.dead { // all are examined that may be in front of the owners
			l.forget(name)
		}
		slots := n + which%2
		e := l.join(number, slots)
		i := l.line.joined(e)
		if got, want := l.line.ahead(i), max(0, len(l.names)-slots); got != want {
			l.Fatalf("%d ahead of the new one, want %d", got, want)
		}
		l.owned[e.name] = e.owns
	case what == 1: // a remote one joins
		l.join(number, 0)
	case what == 6: // a remote one is found dead, and its file stays
		names := l.listing()
		if len(names) == 0 {
			return
		}
		name := names[which%len(names)]
		if slices.Contains(l.dead, name) {
			l.forget(name)
		} else if _, ok := l.line.index(name); ok && !l.isLocal(name) {
			l.leave(name)
			l.dead = append(l.dead, name)
			l.forget(name)
		}
	case what == 3: // a listing
		l.beginListing()
		l.endListing()
	case len(l.names) == 0:
	case what == 2 || what == 4: // one leaves, which is noticed at once if it is known
		name := l.names[which%len(l.names)]
		if what == 4 && l.isLocal(name) { // and its file stays
			l.kept = append(l.kept, name)
			l.line.stays(name)
		}
		l.leave(name)
		l.forget(name)
	case what == 5: // a remote one leaves unnoticed
		if name := l.names[which%len(l.names)]; !l.isLocal(name) {
			l.leave(name)
		}
	}
}

// listing is what a listing finds: those in line, and those that could not be removed.
func (l *lineUnderTest) listing() []string {
	names := slices.Concat(l.names, l.dead, l.kept)
	slices.Sort(names)
	return names
}

func (l *lineUnderTest) beginListing() {
	l.line.begin()
	l.pending, l.since = l.listing(), nil
}

// endListing tells the line of the listing: what it has found is in line, but for those that
// have left since it was begun, and local ones that have left.
func (l *lineUnderTest) endListing() {
	l.line.listing = false
	l.told(l.line.listed(l.pending))
	for _, name := range l.pending {
		left := slices.Contains(l.since, name) || slices.Contains(l.kept, name)
		if _, ok := l.line.index(name); ok == left {
			l.Fatalf("%s is in line: %v, and it has left: %v", name, ok, left)
		}
	}
}

// forget takes the ticket out of the line, if it is in it.
func (l *lineUnderTest) forget(name string) {
	if i, ok := l.line.index(name); ok {
		l.since = append(l.since, name)
		l.told(l.line.left(i))
	}
}

func (l *lineUnderTest) join(number int64, slots int) *entry {
	t, err := l.real.Register(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	e := &entry{name: fmt.Sprintf("%020d.1.%032x", number, number), number: number, slots: slots}
	if slots > 0 {
		e.ticket, e.said = &ticket{}, &content{stale: 1} // may have died, too
		e.ticket.waiter.add()
	}
	l.names = append(l.names, e.name)
	l.members[e.name] = t
	return e
}

func (l *lineUnderTest) leave(name string) {
	if err := l.real.Remove(l.Context(), l.members[name]); err != nil {
		l.Fatal(err)
	}
	l.names = slices.DeleteFunc(l.names, func(other string) bool { return other == name })
}

func (l *lineUnderTest) isLocal(name string) bool {
	_, ok := l.owned[name]
	return ok
}

// told notes the news.
func (l *lineUnderTest) told(n news) {
	for _, e := range n.owners {
		if l.owned[e.name] {
			l.Fatalf("%s is told twice that it owns", e.name)
		}
		if slices.Contains(n.gone, e) {
			continue // a listing in which it has left as well
		}
		l.owned[e.name] = true
	}
	for _, e := range n.gone {
		delete(l.owned, e.name)
	}
}

// check compares what the line says of the local tickets with the one in memory.
func (l *lineUnderTest) check() {
	l.Helper()
	complete := slices.EqualFunc(l.line.entries, l.names, func(e *entry, name string) bool { return e.name == name })
	for i, e := range l.line.entries {
		if i > 0 && l.line.entries[i-1].name >= e.name {
			l.Fatalf("%s stands behind %s", e.name, l.line.entries[i-1].name)
		}
		if e.slots == 0 {
			continue
		}
		view, err := queue.Share(l.real, e.slots)
		if err != nil {
			l.Fatal(err)
		}
		place, err := queue.Position(l.Context(), view, l.members[e.name])
		if err != nil {
			l.Fatalf("%s is not in line in memory: %v", e.name, err)
		}
		got := l.line.ahead(i)
		if got < place.Ahead || complete && got != place.Ahead {
			l.Fatalf("%d ahead of %s, and %d in memory", got, e.name, place.Ahead)
		}
		if (got == 0) != l.owned[e.name] {
			l.Fatalf("%s has %d ahead, and that it owns was told: %v", e.name, got, l.owned[e.name])
		}
		if got > 0 {
			l.checkWaiting(i, e)
		}
	}
}

// checkWaiting: the first that waits watches all that own, the others the one in front.
// All judge those that own, and the one in front: here all may have died.
func (l *lineUnderTest) checkWaiting(i int, e *entry) {
	l.Helper()
	watched, judged := l.line.entries[i-1:i], slices.Clone(l.line.owners(e.slots))
	if i == e.slots {
		watched = judged
	} else {
		judged = append(judged, l.line.entries[i-1])
	}
	if !slices.Equal(l.line.watched(i, e.slots), watched) {
		l.Fatalf("%s, at %d of a line with %d slots, watches others", e.name, i, e.slots)
	}
	if !slices.Equal(l.line.doubtful(i, e.slots), judged) {
		l.Fatalf("%s, at %d of a line with %d slots, judges others", e.name, i, e.slots)
	}
	first := l.line.firstWaiting(e.slots)
	if at, _ := l.line.index(first.name); at > i || l.line.ahead(at) == 0 {
		l.Fatalf("%s is the first of %d slots to wait, and owns or comes after another", first.name, e.slots)
	}
}
