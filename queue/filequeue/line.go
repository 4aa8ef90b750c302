package filequeue

import (
	"slices"
	"strings"
	"time"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// line has the tickets that a process knows to be in line, in order. It is a state
// machine without I/O: it is told events, and answers which tickets own (their
// processes may be dead), and which tickets of this process are to be woken.
//
// Its transitions:
//
//	joined(e)       e stands at the end. Of a local one everything in front is known:
//	                the directory was listed when its number was taken.
//	left(i)         the i'th is not in line any more: it was removed, evicted, or is
//	                found not to be there.
//	stays(name)     a local one that has left, and its file could not be removed: no
//	                listing brings it back.
//	begin()         a listing is made from now on, with the seq lock held.
//	listed(names)   the listing has found these: a ticket missing in it has left, a new
//	                one has joined. One that has left since begin does not come back by
//	                it. One that had left before does, if its file is there: a remote one
//	                that was taken for dead under an earlier listing, which may have been
//	                made with a seq that was removed, is judged again.
//
// By the terms of a ticket with n slots, the i'th owns when i < n. The living in front
// of another only ever leave. So the line never has a local ticket nearer to the front than
// it is; and one that owns goes on owning, if its file is there, wherever it stands. It may
// stand too far back, by those that have left unnoticed, and by the dead whose files stay,
// until these are judged again.
//
// It is guarded by the mu of the knownLine that it is in.
type line struct {
	entries []*entry // in the order of their names, which is that of their numbers

	// slots counts the local entries by how many own at a time for them: nearly
	// always all say the same.
	slots map[int]int

	// unremovable has the local tickets that have left, and whose files could not be
	// removed.
	unremovable map[string]struct{}

	listing   bool                // one is being made
	meanwhile map[string]struct{} // those that have left since the last one was begun

	// highest is the highest number that is known of a ticket, also of one that
	// has left: a seq that was damaged does not tell it any more.
	highest int64
}

func newLine() line {
	return line{slots: make(map[int]int), unremovable: make(map[string]struct{}), meanwhile: make(map[string]struct{})}
}

// entry is one place in line. Its name, number and slots do not change.
type entry struct {
	name   string
	number int64
	slots  int // 0: the ticket is of another process

	// Guarded as the line is.
	owns   bool             // a local one: it has come to own, and does so until it leaves
	ticket *ticket          // nil: of another process
	probe  *lockedfile.File // open, to ask for the lock of a remote one; may be nil
	said   *content         // by its file; nil: of a remote one that was not read yet
	unread error            // why it could not be read, though it could be opened
}

// isDoubtful reports whether the owner may be gone without this process's knowing.
func (e *entry) isDoubtful() bool { return e.ticket == nil || e.stale() > 0 }

// stale is the ticket's stale timeout, as far as it is known.
func (e *entry) stale() time.Duration {
	if e.said == nil {
		return 0
	}
	return e.said.stale
}

// news is the effect of a transition on the entries.
type news struct {
	gone   []*entry // not in line any more
	owners []*entry // local, and own now, as they did not before
	hints  []*entry // local, and should look: one that they watch has changed
}

func (n *news) add(more news) {
	n.gone = append(n.gone, more.gone...)
	n.owners = append(n.owners, more.owners...)
	n.hints = append(n.hints, more.hints...)
}

// index is where the ticket is, or where it would be.
func (l *line) index(name string) (int, bool) {
	// Most look for the first: the holder, or the next one.
	if len(l.entries) > 0 && l.entries[0].name == name {
		return 0, true
	}
	return slices.BinarySearchFunc(l.entries, name, func(e *entry, name string) int {
		return strings.Compare(e.name, name)
	})
}

// ahead is how many must leave before the i'th owns, which is a local one.
func (l *line) ahead(i int) int {
	e := l.entries[i]
	if e.owns {
		return 0
	}
	return i - e.slots + 1
}

// joined puts e at the end of the line, and returns its place.
func (l *line) joined(e *entry) int {
	i := len(l.entries)
	e.owns = i < e.slots
	l.insert(i, e)
	return i
}

func (l *line) insert(i int, e *entry) {
	l.entries = slices.Insert(l.entries, i, e)
	l.highest = max(l.highest, e.number)
	if e.slots > 0 {
		l.slots[e.slots]++
	}
}

// left takes the i'th out of the line.
func (l *line) left(i int) news {
	e := l.entries[i]
	if i == 0 { // the usual case, and the one that must not cost by length
		l.entries[0] = nil
		l.entries = l.entries[1:]
	} else {
		l.entries = slices.Delete(l.entries, i, i+1)
	}
	if e.slots > 0 {
		if l.slots[e.slots]--; l.slots[e.slots] == 0 {
			delete(l.slots, e.slots)
		}
	}
	if l.listing {
		l.meanwhile[e.name] = struct{}{}
	}
	n := news{gone: []*entry{e}}
	for slots := range l.slots {
		// The last of the owners is a new one, if it has not owned before. The first waiter
		// had to watch its predecessor alone, and has to watch all owners now.
		if e := l.waiting(slots-1, slots); e != nil {
			e.owns = true
			n.owners = append(n.owners, e)
		}
		if e := l.waiting(slots, slots); e != nil && slots >= i && slots > 1 {
			n.hints = append(n.hints, e)
		}
	}
	// The one behind has another predecessor.
	if i < len(l.entries) && l.entries[i].slots > 0 && l.ahead(i) > 0 {
		if e := l.entries[i]; !slices.Contains(n.hints, e) {
			n.hints = append(n.hints, e)
		}
	}
	return n
}

// waiting returns the i'th if it is a local one that waits, with the slots.
func (l *line) waiting(i, slots int) *entry {
	if i < len(l.entries) && l.entries[i].slots == slots && !l.entries[i].owns {
		return l.entries[i]
	}
	return nil
}

// stays says that a listing may find the file of a local one that has left.
func (l *line) stays(name string) { l.unremovable[name] = struct{}{} }

// begin says that a listing is being made.
func (l *line) begin() {
	l.listing = true
	clear(l.meanwhile)
}

// listed makes the line that of a listing.
func (l *line) listed(names []string) (n news) {
	i := 0
	for _, name := range names {
		for i < len(l.entries) && l.entries[i].name < name {
			n.add(l.left(i))
		}
		if i == len(l.entries) || l.entries[i].name != name {
			if l.hasLeft(name) {
				continue
			}
			parsed, _ := parseTicketName(name)
			l.insert(i, &entry{name: name, number: parsed.number})
		}
		i++
	}
	for i < len(l.entries) {
		n.add(l.left(i))
	}
	for name := range l.unremovable {
		if _, ok := slices.BinarySearch(names, name); !ok {
			delete(l.unremovable, name)
		}
	}
	return n
}

// hasLeft reports whether a ticket that the listing has found is not in line.
func (l *line) hasLeft(name string) bool {
	_, stays := l.unremovable[name]
	_, meanwhile := l.meanwhile[name]
	return stays || meanwhile
}

// owners are the first n.
func (l *line) owners(n int) []*entry { return l.entries[:min(n, len(l.entries))] }

// watched are the entries that the i'th, which has the slots, waits for: the first waiter
// waits for all owners, every other one for its predecessor.
func (l *line) watched(i, slots int) []*entry {
	if i == slots {
		return l.entries[:i]
	}
	return l.entries[i-1 : i]
}

// doubtfulOwners are those among the first n whose processes may have died without telling.
func (l *line) doubtfulOwners(n int) (doubtful []*entry) {
	for _, e := range l.owners(n) {
		if e.isDoubtful() {
			doubtful = append(doubtful, e)
		}
	}
	return doubtful
}

// doubtful are the doubtful ones among the owners and the predecessor of the i'th, which
// has the slots.
func (l *line) doubtful(i, slots int) []*entry {
	doubtful := l.doubtfulOwners(min(i, slots))
	if i > slots && l.entries[i-1].isDoubtful() {
		doubtful = append(doubtful, l.entries[i-1])
	}
	return doubtful
}

// firstWaiting is the first local one that waits, has the slots, and is listened for; nil
// if there is none.
func (l *line) firstWaiting(slots int) *entry {
	for _, e := range l.entries[min(slots, len(l.entries)):] {
		if e.slots == slots && !e.owns && e.ticket.waiter.isHeard() {
			return e
		}
	}
	return nil
}

// suspects are the owners that may have died without telling, for each of the first local
// ones that wait for them.
func (l *line) suspects() map[*entry][]*entry {
	if !l.entries[0].isDoubtful() && len(l.slots) == 1 && l.slots[1] > 0 {
		return nil // the usual case with one process
	}
	all := make(map[*entry][]*entry)
	for slots := range l.slots {
		first := l.firstWaiting(slots)
		if first == nil {
			continue
		}
		if owners := l.doubtfulOwners(slots); len(owners) > 0 {
			all[first] = owners
		}
	}
	return all
}
