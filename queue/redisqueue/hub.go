package redisqueue

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/internal/wakeup"
)

const (
	// hubIdle is how long the connection of a hub outlives the last watcher, so
	// that a lock that is contended now and then need not connect each time.
	hubIdle = 5 * time.Second

	// longestMessage is more than any script publishes.
	longestMessage = 512

	channelPrefix = "fifolock:"
)

// subscriber is what a hub needs of a client.
type subscriber interface {
	Subscribe(ctx context.Context, channels ...string) *redis.PubSub
	Ping(ctx context.Context) *redis.StatusCmd
}

// hub is where the tickets that were taken through one client get their
// wake-ups: a mailbox for each, and one subscription for all.
//
// A mailbox is opened before the ticket is registered. So what is published as
// soon as the ticket is in line finds it, and a waiter need not look after it
// has begun to watch, if the subscription was up all the time.
type hub struct {
	id     string // forms the channel, and the first part of every token; random
	client subscriber
	tokens atomic.Uint64 // how many tokens were given

	mu           sync.Mutex
	mailboxes    map[string]*mailbox // by token
	watched      int                 // how many watches have not been stopped
	subscription *subscription       // nil when nobody has watched for a while
	listening    bool                // the server has confirmed the subscription, and it has not broken since
	idle         *time.Timer         // ends the subscription; runs when watched is 0
}

// mailbox is where one ticket's wake-ups go. It is guarded by its hub's mutex,
// but for receiving from wake.
type mailbox struct {
	proof   string // what a grant carries; empty if we do not know it any more
	wake    chan queue.Wake
	watched int
}

// hubs has the hub of each client, as long as a queue uses it: who has no
// queue any more must not be kept by us.
var hubs = struct {
	sync.Mutex
	byClient map[subscriber]weak.Pointer[hub]
}{byClient: make(map[subscriber]weak.Pointer[hub])}

// hubOf returns the one hub of a client.
func hubOf(client subscriber) *hub {
	if !reflect.ValueOf(client).Comparable() {
		return newHub(client) // it cannot be recognised, so it is not shared
	}
	hubs.Lock()
	defer hubs.Unlock()
	if h := hubs.byClient[client].Value(); h != nil {
		return h
	}
	h := newHub(client)
	hubs.byClient[client] = weak.Make(h)
	runtime.AddCleanup(h, forgetHub, client)
	return h
}

func forgetHub(client subscriber) {
	hubs.Lock()
	defer hubs.Unlock()
	// There may be a new one by now.
	if hubs.byClient[client].Value() == nil {
		delete(hubs.byClient, client)
	}
}

func newHub(client subscriber) *hub {
	return &hub{
		id:        strings.ReplaceAll(uuid.NewString(), "-", ""),
		client:    client,
		mailboxes: make(map[string]*mailbox),
	}
}

func (h *hub) channel() string { return channelPrefix + h.id }

// newToken returns a token that nobody has ever had.
func (h *hub) newToken() string {
	return h.id + "." + strconv.FormatUint(h.tokens.Add(1), 36)
}

// owns reports whether messages for the token come to this hub.
func (h *hub) owns(token string) bool {
	id, _, ok := strings.Cut(token, ".")
	return ok && id == h.id
}

// open makes a mailbox for a ticket that is about to be registered.
func (h *hub) open(token, proof string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.openLocked(token, proof)
}

func (h *hub) openLocked(token, proof string) *mailbox {
	box := &mailbox{proof: proof, wake: make(chan queue.Wake, 1)}
	if !h.listening {
		wakeup.Put(box.wake, queue.WakeHint) // what is published now is missed
	}
	h.mailboxes[token] = box
	return box
}

// drop forgets the mailbox of a ticket that has nothing to be told any more.
func (h *hub) drop(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.mailboxes, token)
}

// dropGone drops the mailbox of a ticket that an operation found gone.
func (h *hub) dropGone(token string, err error) {
	if errors.Is(err, queue.ErrNotQueued) {
		h.drop(token)
	}
}

// watch begins to listen for a ticket. stop ends that.
func (h *hub) watch(token string) (wake <-chan queue.Wake, stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	box := h.mailboxes[token]
	if box == nil {
		// It was watched before, or was not to be watched. Without the proof
		// every message is but a hint.
		box = h.openLocked(token, "")
		wakeup.Put(box.wake, queue.WakeHint)
	}
	box.watched++
	h.watched++
	h.subscribeLocked()
	return box.wake, sync.OnceFunc(func() { h.unwatch(token, box) })
}

func (h *hub) unwatch(token string, box *mailbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	box.watched--
	if box.watched == 0 && h.mailboxes[token] == box {
		delete(h.mailboxes, token)
	}
	h.watched--
	if h.watched > 0 {
		return
	}
	if h.idle == nil {
		h.idle = time.AfterFunc(hubIdle, h.unsubscribe)
	} else {
		h.idle.Reset(hubIdle)
	}
}

// subscribeLocked makes sure that there is a subscription, or that one is on
// its way.
func (h *hub) subscribeLocked() {
	if h.idle != nil {
		h.idle.Stop()
	}
	if h.subscription == nil {
		h.subscription = newSubscription(h)
		go h.subscription.run()
	}
}

// unsubscribe ends the subscription, unless someone has begun to watch when
// the timer had already fired. Who has a ticket and is about to watch may miss
// something until there is another.
func (h *hub) unsubscribe() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watched == 0 && h.subscription != nil {
		h.subscription.cancel()
		h.subscription, h.listening = nil, false
		h.lookLocked()
	}
}

// up is called when the server has confirmed the subscription: who has missed
// something before must look.
func (h *hub) up(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscription == s && !h.listening {
		h.listening = true
		h.lookLocked()
	}
}

// down is called when the subscription has broken.
func (h *hub) down(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscription == s && h.listening {
		h.listening = false
		h.lookLocked()
	}
}

// ended is called when the subscription has ended for good.
func (h *hub) ended(s *subscription) {
	h.down(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscription == s {
		h.subscription = nil
	}
}

// look makes every waiter look.
func (h *hub) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lookLocked()
}

func (h *hub) lookLocked() {
	for _, box := range h.mailboxes {
		wakeup.Put(box.wake, queue.WakeHint)
	}
}

// deliver puts a message where it belongs: {entry} {proof}. Anyone may have
// published it, so that it is no grant without the proof that we gave to the
// ticket, and is not worth a look either if it carries another.
func (h *hub) deliver(message string) {
	if message == "" || len(message) > longestMessage {
		return
	}
	member, proof, _ := strings.Cut(message, " ")
	token := tokenOf(member)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch box := h.mailboxes[token]; {
	case box == nil:
	case box.proof == "":
		wakeup.Put(box.wake, queue.WakeHint)
	case box.proof == proof:
		wakeup.Put(box.wake, queue.WakeOwner)
	}
}
