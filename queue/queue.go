// Package queue defines ticket queues: each arrival takes a number, and the
// ticket with the lowest number is the head, which owns the lock. Package
// lock makes a mutex of one.
//
//	arrivals →  [ 17 ] [ 16 ] [ 15 ] [ 14 ]  → leaves the line with Remove
//	            newest                head: owns the lock
//
// Package filequeue keeps its line in a directory, for the processes of one
// machine; package redisqueue keeps it in a Redis server, for many machines;
// package memqueue keeps it in memory, for tests. All promise the same, and
// package queuetest checks what of it can be checked without a crash:
//
//   - Numbers strictly increase for the life of a name, also when everything
//     that the queue had stored was lost, unless the clock that they are seeded from
//     is behind the last number then. So a number is a fencing token: a
//     storage that remembers the highest it has seen can refuse a late writer
//     with a lower one.
//   - Taking a number and standing in line is one step. There is no moment in
//     which a later number is in line and an earlier one is not yet.
//   - A ticket leaves the line when it is removed, or when its owner is gone.
//     How a queue knows that an owner is gone differs and is told at each
//     type; it is never how long the owner has waited.
//
// [TicketQueue] has the methods of every queue. The small interfaces beside it
// have those of some queues ([TryRegisterer], [Releaser], [Refresher],
// [Watcher], [Positioner], [Lister], [Sharer]); the function with the name of the method
// uses it, and does without or returns an error that is errors.ErrUnsupported, the way
// io/fs.ReadDir does. They only ever make things faster or add to them: nothing that is
// safe with one is unsafe without it.
package queue

import (
	"context"
	"time"
)

// Ticket is a place in a queue. It is a plain value: it may be copied, and
// compared with ==, and nothing about it changes after Register returned it.
type Ticket struct {
	// Number is the order in line and the fencing token: greater than every
	// number given out before under the same name, greater than 0, and less
	// than 1<<53.
	Number int64

	// Member is the entry's name in the queue's storage. A ticket is the one of this
	// Number and this Member: with another Member it is not in line. Compare these two
	// with those of a ticket that [Members] or [OnEvicted] shows, which says no more of
	// another's ticket than the storage does.
	Member string

	// Ahead is how many members had to leave before the ticket owned, as of when
	// it was taken. 0 means that it owns at once: its owner need not ask IsHead.
	// Members whose owners were dead may have been counted, unless all were.
	Ahead int

	// Lease is how long the ticket is believed without a Refresh, counted from
	// when Register or Refresh was called. 0 means as long as its owner lives. It
	// is part of the ticket, not of the queue, so that no wrapper can hide it: a
	// ticket with a lease whose queue offers no [Refresher] must not be held.
	Lease time.Duration

	// Lost is closed when the queue has given the ticket up before its lease has ended,
	// because another may own soon (see redisqueue.WithCrashDetection). It is nil, and
	// never ready, where that cannot happen. An owner treats it as the end of its lease.
	Lost <-chan struct{}
}

// TicketQueue is a line whose head owns the lock.
//
// All methods may be called concurrently. They obey ctx as far as the backend
// can be interrupted, and return an error for which errors.Is(err, ctx.Err())
// holds when ctx ended the call. With a ctx that has ended before, they fail like
// that too, even where there is nothing to wait for; Remove and Release
// may work.
//
// The errors of package lock name a queue by its String method, or by its
// type if it has none. The errors of a queue with that method are of type [*Error], with
// its name, so that they are not given it twice.
type TicketQueue interface {
	// Register takes the next number and stands in line, in one step. If it
	// returns an error, no ticket is left in line, or (when the backend could
	// not be reached to make sure) one that leaves by itself as a dead owner's
	// does.
	Register(ctx context.Context) (Ticket, error)

	// IsHead reports whether t is the first in line. It returns ErrNotQueued
	// when t is not in line at all: an empty line is not t's turn.
	IsHead(ctx context.Context, t Ticket) (bool, error)

	// Remove takes t out of the line. It returns ErrNotQueued when t was not
	// in line. It removes no ticket of a living owner but t; those of the dead it may
	// remove as CleanupStale does, so that the next is told at once.
	Remove(ctx context.Context, t Ticket) error

	// CleanupStale removes the heads whose owners are gone, up to the first
	// member whose owner is not. [OnEvicted] tells the caller which tickets
	// those were.
	CleanupStale(ctx context.Context) error

	// IsEmpty reports whether no ticket is in line. Tickets whose owners are
	// gone count until they are removed.
	IsEmpty(ctx context.Context) (bool, error)

	// MaybeCleanup removes every artifact of the queue if no ticket is in
	// line. It is best effort: it reports nothing, and a later call removes
	// the rest.
	MaybeCleanup(ctx context.Context)
}
