package filequeue

import (
	"context"
	"sync"
	"time"

	"github.com/fifolock/fifolock/queue"
)

// knownLine is the line of a directory as far as this process knows it, and its own
// tickets in it. It tells the line what happens, and does what the line says.
type knownLine struct {
	directory *directory

	mu sync.Mutex // guards what follows

	gone    bool // the directory is not at its path any more
	line    line
	tickets map[string]*ticket // the local ones in line, by name
	recheck *time.Timer        // see recheck.go; nil while it is not set
}

// ticket returns the local ticket, nil if it is not one, or not in line any more.
// mu is held.
func (k *knownLine) ticket(t queue.Ticket) *ticket {
	if own := k.tickets[t.Member]; own != nil && own.number == t.Number {
		return own
	}
	return nil
}

// kindOf is the kind of the line, noKind if no ticket is known to be in it. The first one
// says it; seq, which may be older or newer than the line, is believed where the ticket
// cannot be read.
func (k *knownLine) kindOf(seq kind) kind {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.line.entries) == 0 {
		return noKind
	}
	switch first := k.line.entries[0]; {
	case first.ticket != nil:
		return first.ticket.kind
	case first.said != nil:
		return first.said.kind()
	}
	return seq
}

// highest is the highest number that is known of a ticket.
func (k *knownLine) highest() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.line.highest
}

// take is for the names of a listing, made with the seq lock held.
func (k *knownLine) take(names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tell(k.line.listed(names))
}

// tell does what a transition of the line asks for. mu is held, and the caller is
// counted.
func (k *knownLine) tell(n news) {
	for _, e := range n.owners {
		e.ticket.waiter.wake(queue.WakeHint)
	}
	for _, e := range n.hints {
		e.ticket.waiter.wake(queue.WakeHint)
	}
	for _, e := range n.gone {
		e.closeProbe()
		if e.ticket != nil {
			k.drop(e.ticket)
		}
	}
	k.setRecheck()
}

// drop lets go of a local ticket that is not in line any more. mu is held, and the caller
// is counted: so this is not the last.
func (k *knownLine) drop(t *ticket) {
	delete(k.tickets, t.name)
	t.listenTo(k.directory, nil)
	t.waiter.wake(queue.WakeHint) // it shall find out
	t.close()
	k.directory.done(context.Background())
}

// forget takes the entry out of the line, if it is in it. mu is held.
func (k *knownLine) forget(e *entry) {
	if i, ok := k.line.index(e.name); ok {
		k.tell(k.line.left(i))
	}
}
