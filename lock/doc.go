// Package lock makes a fair mutex of a ticket queue: whoever came first is
// served first, between goroutines, processes and machines.
//
//	m := lock.New(filequeue.New("/var/lock/report")) // between processes, no server
//	m := lock.New(redisqueue.New(client, "report"))  // between machines
//
//	if err := m.Lock(ctx); err != nil {
//		return err
//	}
//	defer m.Unlock()
//
// # How it works
//
// Lock takes a ticket and waits until it is the head of the line. While it
// waits and while it holds, a heartbeat keeps the ticket alive. The queue tells
// a waiter when to look, where it can; a waiter looks by itself all the same,
// with exponential backoff that starts anew whenever the line has moved, so
// that a wake-up which is lost costs time and nothing else. Unlock removes the
// ticket, and what the queue has stored if nobody is left.
//
// # What is promised
//
//   - At most one holder at a time. On a [filequeue.Queue] without a stale timeout:
//     unconditionally, as long as the holder lives. On a [redisqueue.Queue]: as long
//     as the holder's lease is renewed; when it cannot be, [Mutex.Lost] is
//     closed before the lease ends, by the holder's own monotonic clock.
//   - Grants in the order of tickets. If one Lock has returned from
//     registering before another one is called, it goes first. Nobody barges,
//     TryLock included.
//   - Every hold has a token ([Mutex.Token]) greater than every one before it,
//     for the life of a name. A storage that refuses a token lower than the
//     highest it has seen is safe also from a holder that was suspended past
//     its lease and writes late.
//   - When the ctx ends a call, the call returns within 100 ms, whatever the
//     backend is doing, and errors.Is(err, ctx.Err()) holds.
//   - A call that failed holds nothing and leaves no ticket behind. If the
//     backend is out of reach, the ticket is removed in the background, and
//     lapses at the latest after one lease.
//   - Unlock removes only its own ticket, and works after the ctx of Lock has
//     ended.
//
// # What can be seen of it
//
// [WithTrace] sets hooks for what a Mutex goes through, [LogTrace] logs it with
// log/slog. [queue.Members] lists who holds a lock and who waits for it.
//
// # What is not promised
//
// A lock does not stop its holder: code that goes on after Lost was closed, or
// after the machine was suspended (its monotonic clock stands still then, so
// that Lost is closed late), runs beside the next holder. Check the token where
// it matters. The types of package queue say what each backend does not promise.
//
// # Memory
//
// The n'th successful Unlock of a Mutex synchronizes before the m'th successful
// Lock or TryLock of the same Mutex returns, for n < m. Two Mutex values on one
// queue exclude each other too, but have no happens-before edge between them in
// the sense of the Go memory model, because the storage gives none: what they
// guard must be in storage as well, or be reached through one Mutex.
package lock
