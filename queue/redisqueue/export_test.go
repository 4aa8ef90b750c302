package redisqueue

import "github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"

// The hashes by which tests recognise a command on the wire.
var (
	RegisterHash    = registerScript().hash
	TryRegisterHash = tryRegisterScript().hash
	ReleaseHash     = releaseScript().hash
	RefreshHash     = refreshScript().hash
)

// Waiters returns how many waiters the notifier of q has.
func Waiters(q *Queue) int { return q.home.Load().Waiters() }

// NotifierID returns the id of q's notifier.
func NotifierID(q *Queue) string { return q.home.Load().ID() }

// Notifiers returns how many notifiers are known.
func Notifiers() int { return notifier.Count() }

// TokenOf returns the token in a ticket's entry.
func TokenOf(member string) string { return tokenOf(member) }
