package redisqueue

import (
	"time"

	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

// The hashes by which tests recognise a command on the wire.
var (
	RegisterHash    = registerScript().hash
	TryRegisterHash = tryRegisterScript().hash
	ReleaseHash     = releaseScript().hash
	RefreshHash     = refreshScript().hash

	RegisterTogetherHash = registerTogether.script().hash
	ReleaseTogetherHash  = releaseTogether.script().hash
)

// Gather makes the calls of q's client gather, and q's registrations, as they do while
// others are under way.
// Waiting says how many do; Depart sends them.
func Gather(q *Queue) *Gathering {
	g := &Gathering{[]*sender{&q.senders.free, &q.senders.ordered, q.joining}}
	for _, s := range g.senders {
		s.mu.Lock()
		s.generation++ // what is still in flight sends none of them
		s.waiting = append(s.waiting, nil)
		s.timer = time.AfterFunc(time.Hour, s.late)
		s.mu.Unlock()
	}
	return g
}

type Gathering struct{ senders []*sender }

func (g *Gathering) Waiting() (n int) {
	for _, s := range g.senders {
		s.mu.Lock()
		n += len(s.waiting) - 1
		s.mu.Unlock()
	}
	return n
}

func (g *Gathering) Depart() {
	for _, s := range g.senders {
		s.mu.Lock()
		s.waiting, s.inFlight = s.waiting[1:], 0
		if len(s.waiting) > 0 {
			s.dispatch()
		}
		s.mu.Unlock()
	}
}

// Waiters returns how many waiters the notifier of q has.
func Waiters(q *Queue) int { return Home(q).Waiters() }

// Home returns the notifier of q.
func Home(q *Queue) *notifier.Notifier { return q.home.Load() }

// Resent returns how many tickets the client of q knows whose request was sent more than once.
func Resent(q *Queue) (n int) {
	q.senders.resent.Range(func(any, any) bool { n++; return true })
	return n
}

// NotifierID returns the id of q's notifier.
func NotifierID(q *Queue) string { return Home(q).ID() }

// Notifiers returns how many notifiers are known.
func Notifiers() int { return notifier.Count() }

// TokenOf returns the token in a ticket's entry.
func TokenOf(member string) string { return tokenOf(member) }
