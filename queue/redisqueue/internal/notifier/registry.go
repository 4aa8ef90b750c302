package notifier

import "github.com/fifolock/fifolock/queue/redisqueue/internal/perclient"

var registry perclient.Registry[Notifier]

// Of returns the one notifier of a client. token must be the same in every call.
func Of(client Client, token func(entry string) string) *Notifier {
	return registry.Of(client, func() *Notifier { return New(client, token) })
}

// Count returns how many clients have a notifier, for tests.
func Count() int { return registry.Len() }

// Waiters returns how many waiters there are, for tests.
func (n *Notifier) Waiters() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.waiters.byToken)
}

// Uses reports whether this is the notifier of that client.
func (n *Notifier) Uses(client Client) bool { return n.client == client }
