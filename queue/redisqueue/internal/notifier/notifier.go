// Package notifier tells the tickets of one Redis client when they own: one
// subscription for all of them, and a waiter for each.
//
// It knows nothing of scripts and keys. A ticket has a token, which the client has
// chosen and which is in all messages about it, and an entry, which the server has
// answered. A message is an entry. It opens the waiter of that very entry and
// nothing else: the token has a random part that only the owner and the server know,
// so that an entry cannot be guessed; and a token may have more than one entry, if
// the request was executed more than once, so that a message for one of them says
// nothing of another.
package notifier

import (
	"cmp"
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/clients"
)

const (
	// channelPrefix and the notifier's id are the channel that it listens to.
	channelPrefix = "fifolock:"

	// idleTimeout is how long the connection outlives the last watch, so that a lock
	// that is contended now and then need not connect each time.
	idleTimeout = 5 * time.Second

	// longestMessage is more than any script publishes.
	longestMessage = 512

	// nearest is how many waiters of a line look when something may have been missed.
	// They are the first in line of this client's, so that none behind them can own
	// before one of them has left; and it tells the next.
	nearest = 4

	// earlyMessages is how many messages are kept for a waiter whose entry is not
	// known yet. There is one for each time that its request was executed.
	earlyMessages = 8

	// spread is the time between two waiters that look after the subscription has
	// changed, if many have to.
	spread = time.Millisecond

	// After a wake-up that did not come, none is relied on for this long; twice as
	// long each time until one comes.
	firstDoubt, longestDoubt = time.Second, time.Minute
)

// Client is the part of a client that a notifier needs.
type Client interface {
	Subscribe(ctx context.Context, channels ...string) *redis.PubSub
	Ping(ctx context.Context) *redis.StatusCmd
}

// Ticket is all that a notifier must know of a ticket to wake it.
type Ticket struct {
	Token  string
	Entry  string
	Line   string // the tickets of one line wait for each other,
	Number int64  // in this order
	Owners int    // how many of them own at a time; at least 1

	Presence *Presence // that shows that its process lives; nil without crash detection

	// For a hand-off in this process, see handoff.go.
	Front string    // the entry directly in front, of a line that one owns exclusively; empty: not known
	Owns  bool      // it owns: the server has said so, or it was handed on to
	Until time.Time // until when it is believed, by this process's clock
}

// Notifier wakes the tickets that were taken through one client.
//
// A waiter is opened before its ticket is registered. So a message that is
// published as soon as the ticket is in line finds it, and a waiter need not look
// after it has begun to watch, if the subscription was up all the time.
//
// All methods may be called concurrently.
type Notifier struct {
	id     string
	client Client
	token  func(entry string) string // "" if it has none

	mu      sync.Mutex // guards all below, and all waiters
	waiters waiters
	connection
	doubt      time.Duration // how long no wake-up is relied on after the next one that is missed; 0: firstDoubt
	doubtUntil time.Time
}

// waiter is where one ticket's wake-ups go. It is guarded by its notifier's mutex,
// but for receiving from wake.
type waiter struct {
	Ticket           // Entry is empty until the ticket is registered
	early   []string // messages that came before
	wake    chan queue.Wake
	watches int
	granted bool          // a WakeOwner was put into wake, and not taken back
	blind   bool          // the subscription was not up all the time since it was opened
	later   *time.Timer   // hints, see HintAfter; nil if it never was to
	behind  time.Duration // the longest lease in front of it although it owns; 0: it is in front
	lapsed  time.Time     // when those are over if nothing renews them
	chain   *chain        // it was granted in this process, and that is not decided
	decided chan struct{} // closed when it is
}

// waiters are those of one notifier. They are guarded by its mutex.
type waiters struct {
	byToken map[string]*waiter
	behind  map[string]*waiter // the one directly behind an entry, which is its Front
}

var registry clients.Registry[Notifier]

// Of returns the one notifier of a client. token must be the same in every call.
func Of(client Client, token func(entry string) string) *Notifier {
	return registry.Of(client, func() *Notifier { return New(client, token) })
}

// Count returns how many clients have a notifier, for tests.
func Count() int { return registry.Len() }

// New returns a notifier of its own for a client. Use [Of].
func New(client Client, token func(entry string) string) *Notifier {
	n := &Notifier{
		id:      strings.ToLower(rand.Text()),
		client:  client,
		token:   token,
		waiters: waiters{byToken: make(map[string]*waiter), behind: make(map[string]*waiter)},
	}
	n.connection = connection{notifier: n, presences: make(map[*Presence]struct{}), presenceOf: make(map[string]*Presence)}
	return n
}

// ID forms the channel. It is random, and is the first part of every token.
func (n *Notifier) ID() string { return n.id }

func (n *Notifier) channel() string { return channelPrefix + n.id }

// NewToken returns a token that no ticket has ever had, in any process: {id}.{random}.
// All of it that must not repeat is drawn now, because two processes that were
// resumed from one snapshot have the same memory.
func (n *Notifier) NewToken() string { return n.id + "." + rand.Text() }

// Issued reports whether the token is of this notifier: messages for it come here.
func (n *Notifier) Issued(token string) bool {
	id, _, ok := strings.Cut(token, ".")
	return ok && id == n.id
}

// Open makes a waiter for a ticket that is about to be registered in a line.
func (n *Notifier) Open(token, line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiters.open(Ticket{Token: token, Line: line}, !n.listening)
}

// IsElsewhere reports whether a ticket is known to be one of another line: what the server
// says of it in this one means nothing.
func (n *Notifier) IsElsewhere(token, line string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	w, p := n.waiters.byToken[token], n.presenceOf[token]
	return w != nil && w.Line != line || p != nil && p.line != line
}

// Bind says which ticket it has become. A message for it that has come already
// opens it.
func (n *Notifier) Bind(t Ticket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.waiters.byToken[t.Token]
	if w == nil {
		return
	}
	w.Ticket = t
	if t.Front != "" {
		n.waiters.behind[t.Front] = w
	}
	if slices.Contains(w.early, t.Entry) {
		w.grant()
	}
	w.early = nil
}

// Drop forgets the waiter of a ticket that has nothing to be told any more.
func (n *Notifier) Drop(token string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.waiters.byToken[token]; w != nil {
		n.waiters.drop(w)
	}
}

// Watch begins to listen for a ticket. stop ends that.
func (n *Notifier) Watch(t Ticket) (wake <-chan queue.Wake, stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.waiters.byToken[t.Token]
	if w == nil || w.Entry != t.Entry {
		w = n.waiters.open(t, true) // it was watched before, or was not to be watched
	}
	if w.blind {
		wakeup.Put(w.wake, queue.WakeHint)
	}
	w.watches++
	n.watches++
	n.subscribeLocked()
	return w.wake, sync.OnceFunc(func() { n.unwatch(w) })
}

func (n *Notifier) unwatch(w *waiter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.watches--
	if w.watches == 0 && !w.Owns {
		n.waiters.drop(w)
	}
	n.unwatchedLocked()
}

// GiveUp forgets a ticket's waiter, because the ticket is about to be released, and
// hands on to the next if it can. It returns nil if nothing depends on the answer to the
// release; otherwise, that must be told to Answered.
func (n *Notifier) GiveUp(token string) *Leaving {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.waiters.byToken[token]
	if w == nil {
		return nil
	}
	n.waiters.drop(w)
	next := n.waiters.behind[w.Entry]
	if next == nil && w.Owns && w.chain == nil {
		return nil
	}
	return leave(n, w, next)
}

// Deliver hands a message to the waiter that it is for.
func (n *Notifier) Deliver(message string) {
	if message == "" || len(message) > longestMessage {
		return
	}
	token := n.token(message)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch w := n.waiters.byToken[token]; {
	case w == nil:
	case w.Entry == message:
		if w.Owns && !w.granted {
			n.trustLocked() // the message was late, and not missed
		}
		w.grant()
	case w.Entry == "" && len(w.early) < earlyMessages:
		w.early = append(w.early, message)
	}
}

// heard is called with every message of the subscription: it works.
func (n *Notifier) heard(message string) {
	n.Deliver(message)
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.waiters.byToken[n.token(message)]; w != nil && w.granted {
		n.trustLocked()
	}
}

// trustLocked ends the doubt whether wake-ups come.
func (n *Notifier) trustLocked() { n.doubt, n.doubtUntil, n.stale = 0, time.Time{}, false }

// grant tells a waiter that its ticket owns, once.
func (w *waiter) grant() {
	w.Owns = true
	if !w.granted {
		w.granted = true
		wakeup.Put(w.wake, queue.WakeOwner)
	}
}

// Reload makes the first waiters of a line look: a wake-up for one of them may have
// been lost with a reply.
func (n *Notifier) Reload(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.waiters.near(func(w *waiter) bool { return w.Line == line }) {
		w.blind = true
		wakeup.Put(w.wake, queue.WakeHint)
	}
}

// Reliable reports whether the ticket's waiter may rely on being woken.
func (n *Notifier) Reliable(token string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.waiters.byToken[token]
	return w != nil && w.watches > 0 && n.listening && !time.Now().Before(n.doubtUntil)
}

// Found says that a ticket was found to own by looking. A waiter that should have
// been told, and was not, makes the others doubt for a while that they will be. The
// second time in a row, the subscription is made anew.
func (n *Notifier) Found(token string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.waiters.byToken[token]
	if w == nil {
		return
	}
	w.Owns = true
	if w.watches == 0 || w.granted || w.blind {
		return
	}
	n.doubt = min(max(2*n.doubt, firstDoubt), longestDoubt)
	n.doubtUntil = time.Now().Add(n.doubt)
	if n.doubt > firstDoubt {
		n.doubtLocked()
	}
}

// Behind says how long a lease those have that an answer to a heartbeat has found in front
// of the ticket, 0 if there are none, and when that was asked for. It reports whether a
// ticket that owns by the server's word does so no more, because the server has gone back to
// what was before. What a failover brings back of those that have left lapses within that
// lease, and is no reason. An answer that is older than the grant is never the one that is.
func (n *Notifier) Behind(token string, sent time.Time, lease time.Duration) (displaced bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.waiters.byToken[token]
	if w == nil || !w.Owns || w.chain != nil {
		return false
	}
	switch {
	case lease == 0 || lease > w.behind:
		w.behind, w.lapsed = lease, time.Now().Add(lease)
	case sent.After(w.lapsed):
		w.Owns = false // it hands on to none
		return true
	}
	return false
}

// changedLocked is called when the subscription has come up or gone down: something
// may have been missed. Those near the head look, at once if they are few, one after
// the other if they are many.
func (n *Notifier) changedLocked() {
	for _, w := range n.waiters.byToken {
		w.blind = true
	}
	list := n.waiters.near(func(*waiter) bool { return true })
	if len(list) <= 2*nearest {
		for _, w := range list {
			wakeup.Put(w.wake, queue.WakeHint)
		}
		return
	}
	for _, w := range list {
		time.AfterFunc(mathrand.N(time.Duration(len(list))*spread), func() { n.hint(w) })
	}
}

// HintAfter makes a ticket's waiter look after a while, once, unless it owns by then. It
// takes back what an earlier call has asked for; so does 0, which asks for nothing.
func (n *Notifier) HintAfter(token string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.waiters.byToken[token]
	switch {
	case w == nil:
	case d <= 0:
		w.quiet()
	case w.later != nil:
		w.later.Reset(d)
	default:
		w.later = time.AfterFunc(d, func() { n.hint(w) })
	}
}

// quiet takes back what HintAfter has asked for.
func (w *waiter) quiet() {
	if w.later != nil {
		w.later.Stop()
	}
}

// hint makes a waiter look, if it is still there and does not own.
func (n *Notifier) hint(w *waiter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.waiters.byToken[w.Token] == w && !w.Owns {
		wakeup.Put(w.wake, queue.WakeHint)
	}
}

// Waiters returns how many waiters there are, for tests.
func (n *Notifier) Waiters() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.waiters.byToken)
}

// open makes a waiter; blind says that something may have been missed already.
func (ws *waiters) open(t Ticket, blind bool) *waiter {
	w := &waiter{Ticket: t, wake: make(chan queue.Wake, 1), blind: blind}
	ws.byToken[t.Token] = w
	return w
}

// drop forgets a waiter.
func (ws *waiters) drop(w *waiter) {
	w.quiet()
	if ws.byToken[w.Token] == w {
		delete(ws.byToken, w.Token)
	}
	if ws.behind[w.Front] == w {
		delete(ws.behind, w.Front)
	}
}

// moveUp puts a waiter behind another entry, because the one between has left.
func (ws *waiters) moveUp(w *waiter, front string) {
	delete(ws.behind, w.Front)
	w.Front = front
	if front != "" {
		ws.behind[front] = w
	}
}

// near returns the first waiters of each line. Those that are not registered
// yet have no number: they are the first.
func (ws *waiters) near(which func(*waiter) bool) []*waiter {
	var all []*waiter
	for _, w := range ws.byToken {
		if !w.Owns && which(w) {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b *waiter) int {
		return cmp.Or(strings.Compare(a.Line, b.Line), cmp.Compare(a.Number, b.Number))
	})
	place, line := 0, ""
	return slices.DeleteFunc(all, func(w *waiter) bool {
		if w.Line != line {
			place, line = 0, w.Line
		}
		if w.Entry != "" {
			place++
		}
		return place > nearest+w.Owners-1
	})
}
