// Package lock makes a fair mutex and a fair semaphore of a ticket queue: first
// come, first served, between goroutines, processes and machines.
//
//	m := lock.New(filequeue.New("/run/myapp/report")) // between the processes of one machine
//	// or: lock.New(redisqueue.New(client, "report")) // between machines
//
//	if err := m.Lock(ctx); err != nil {
//		return err
//	}
//	defer m.Unlock()
//
// The deferred Unlock ends any hold that the Mutex has by then, as that of [sync.Mutex]
// does. After an explicit Unlock it must not run: it would end the hold of another
// goroutine. [Mutex.Do] and a [Hold] end no hold but their own.
//
//	s := lock.NewSemaphore(redisqueue.New(client, "slow-service"), 3)
//
//	hold, err := s.Acquire(ctx) // at most 3 hold at a time, on all machines
//	if err != nil {
//		return err
//	}
//	defer hold.Release()
//
// # How it works
//
// Lock takes a ticket and waits until it is the first of the line; Acquire of a
// Semaphore of n waits until it is among the first n. While it waits and while it
// holds, a heartbeat keeps the ticket alive. The queue tells a waiter when to look,
// where it can; a waiter looks by itself all the same, so that a wake-up which is
// lost costs time and nothing else. Unlock removes the ticket and, if the line is then
// empty, all that the queue has stored.
//
// # What is promised
//
//   - At most one holder at a time, or n. On files without a stale timeout:
//     unconditionally, as long as the holder lives. On Redis: as long as the
//     holder's lease is renewed; when it cannot be, [Mutex.Lost] is closed before
//     the lease ends, by the holder's own monotonic clock; of a process that stood
//     still then, when it goes on. redisqueue.WithCrashDetection
//     says what it adds to this.
//   - Grants in the order of tickets. If one Lock has returned from registering
//     before another one is called, it goes first. Nothing barges, TryLock included.
//   - Lock returns nil only if the queue has said that the ticket owns, and if the
//     ticket is believed alive at that moment by this process's clock.
//   - Every hold has a token ([Mutex.Token]) greater than every one before it, for
//     the life of a name, unless the storage is lost, in whole or in part, while the
//     clock that it is seeded from is behind the last token. A storage that refuses a token lower than the highest it
//     has seen is safe also from a holder that was suspended past its lease and
//     writes late.
//   - When the ctx ends a call that waits, it returns within 100 ms, whatever the
//     backend is doing, and errors.Is(err, ctx.Err()) holds. That takes a processor
//     that is free: thousands that are cancelled at once need one for what they do.
//     An Unlock, also that of Do, has its own time: [WithReleaseTimeout].
//   - A call that failed holds nothing and leaves no ticket behind. If the backend
//     is out of reach, the ticket is removed in the background, and lapses at the
//     latest after one lease.
//   - Unlock removes only its own ticket. It works after the ctx of Lock has ended,
//     and does not wait for a heartbeat that hangs. It returns nil only if the queue
//     has said that the hold lasted until then; see [Mutex.Unlock] for an answer
//     that was lost.
//   - After Unlock, or a Lock that failed, no goroutine, timer, subscription or
//     ticket is left, but for a call to a backend that does not return. What the
//     locks of a queue share, a connection for wake-ups say, ends some seconds later.
//   - A lost hold that was not unlocked yet holds up nothing but its own Mutex, once a
//     tenth of its lease has given its owner the time to stop.
//   - A waiter that can never be served is told: see [queue.ErrClosed].
//
// # Errors
//
// An error begins with the operation and names the lock, once. [ErrBusy] is a wait
// that ended while others were ahead, [ErrLost] a hold that ended before its Unlock,
// [ErrNotLocked] a mistake in the program. Other errors are the ctx's, those of wrong
// arguments, and the backend's; a queue of this module returns the last as a [queue.Error].
// An error is [context.Canceled] or [context.DeadlineExceeded] only if the ctx or
// [WithMaxWait] has ended the wait, or the function that was given to Do has returned it: not
// if the backend, or the release, has met a timeout of its own.
//
// # What can be seen of it
//
// [WithTrace] sets hooks for what a Mutex goes through, [LogTrace] logs it with
// log/slog. [queue.Members] lists the holder of a lock and all that wait for it.
//
// # What is not promised
//
// A lock does not stop its holder: code that goes on after Lost was closed, or after
// the machine was suspended (its monotonic clock stands still then, so that Lost is
// closed late), runs beside the next holder. So does a holder whose ticket is removed
// by another hand, or lost with the storage, until its next heartbeat: within a third of
// the lease (of a stale timeout, on files), or 10 s where there is none. Check the token where it matters. With
// n > 1 a token identifies a hold and fences nothing ([Hold.Token]). The types of
// the queues say what each backend does not promise: network file systems,
// failovers, clocks, durability.
//
// # Memory
//
// In the terms of the Go memory model: the n'th successful Unlock of a Mutex
// synchronizes before the m'th successful Lock or TryLock of the same Mutex returns,
// for n < m; and a Release of a [Hold] synchronizes before every Acquire of the same
// Semaphore returns that was let in by it, or came later. Two values on one queue
// exclude each other too, but have no happens-before edge between them, because the
// storage gives none: what they guard must be in storage as well, or be reached
// through one value.
package lock
