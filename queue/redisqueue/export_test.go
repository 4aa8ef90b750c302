package redisqueue

// The hashes by which tests recognise a command on the wire.
var (
	RegisterHash    = registerScript.Hash()
	TryRegisterHash = tryRegisterScript.Hash()
	ReleaseHash     = releaseScript.Hash()
	RefreshHash     = refreshScript.Hash()
	AbandonHash     = abandonScript.Hash()
)

// Mailboxes returns how many mailboxes the hub of q has.
func Mailboxes(q *Queue) int {
	h := q.home.Load()
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.mailboxes)
}

// Hub returns the id of q's hub.
func Hub(q *Queue) string { return q.home.Load().id }

// Hubs returns how many hubs are known.
func Hubs() int {
	hubs.Lock()
	defer hubs.Unlock()
	return len(hubs.byClient)
}

// TokenOf returns the token in a ticket's entry.
func TokenOf(member string) string { return tokenOf(member) }
