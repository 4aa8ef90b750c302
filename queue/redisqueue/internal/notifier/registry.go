package notifier

import (
	"reflect"
	"runtime"
	"sync"
	"weak"
)

// registry has the notifier of each client, as long as a queue uses it: a client
// without a queue must not be kept by us.
var registry = struct {
	sync.Mutex
	byClient map[Client]weak.Pointer[Notifier]
}{byClient: make(map[Client]weak.Pointer[Notifier])}

// Of returns the one notifier of a client. token must be the same in every call.
func Of(client Client, token func(entry string) string) *Notifier {
	if !reflect.ValueOf(client).Comparable() {
		return New(client, token) // it cannot be recognised, so it is not shared
	}
	registry.Lock()
	defer registry.Unlock()
	if n := registry.byClient[client].Value(); n != nil {
		return n
	}
	n := New(client, token)
	registry.byClient[client] = weak.Make(n)
	runtime.AddCleanup(n, forget, client)
	return n
}

func forget(client Client) {
	registry.Lock()
	defer registry.Unlock()
	// There may be a new one by now.
	if registry.byClient[client].Value() == nil {
		delete(registry.byClient, client)
	}
}

// Count returns how many clients have a notifier, for tests.
func Count() int {
	registry.Lock()
	defer registry.Unlock()
	return len(registry.byClient)
}

// Waiters returns how many waiters there are, for tests.
func (n *Notifier) Waiters() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.waiters)
}

// Uses reports whether this is the notifier of that client.
func (n *Notifier) Uses(client Client) bool { return n.client == client }
