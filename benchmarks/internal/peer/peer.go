// Package peer has fifolock and the locks it is compared with behind one small
// interface.
package peer

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"
)

// Locker is the lock as one goroutine sees it. It is used by one goroutine at
// a time.
type Locker interface {
	Lock(ctx context.Context) error
	Unlock() error
}

// Backend is what a lock keeps its state in.
type Backend string

const (
	Memory   Backend = "memory"
	Files    Backend = "files"
	Redis    Backend = "redis"
	Etcd     Backend = "etcd"
	Postgres Backend = "postgres"
)

// Site is where the backends are. An empty field is a backend that is not
// there. It is sent to other processes as JSON.
type Site struct {
	Dir      string // for locks in files; on a tmpfs where there is one
	Redis    string // host:port
	Etcd     string // host:port
	Postgres string // connection string
	Earlier  string // this program as it was in an earlier revision; its path
}

// Has reports whether the backend is there.
func (s Site) Has(b Backend) bool {
	switch b {
	case Files:
		return s.Dir != ""
	case Redis:
		return s.Redis != ""
	case Etcd:
		return s.Etcd != ""
	case Postgres:
		return s.Postgres != ""
	}
	return true
}

// Options say which lock to open. They are sent to other processes as JSON.
type Options struct {
	Name    string        // letters, digits and '-'; the same name is the same lock
	Lease   time.Duration // how long the lock of a dead owner lasts, where it is a matter of time; 0: the peer's default
	Holders int           // how many may hold at once, of a semaphore; 0: a lock
}

// Peer is one kind of lock.
type Peer struct {
	Name    string // in records and regular expressions
	Title   string // in tables and pictures
	Backend Backend
	About   string // how it waits, and how it was set up

	Fair           bool // promises to serve in order of arrival
	Processes      bool // works between processes
	Semaphore      bool // can have several holders
	DetectsCrashes bool // notices the death of a process before its lease ends
	Limit          bool // not a lock to use instead, but a bound on what can be reached
	AloneOnly      bool // makes no sense contended
	Named          bool // takes part only in cases that name it

	// Earlier is the name of the peer in the program of an earlier revision, which
	// measures it. Empty is this program's own.
	Earlier string

	open func(ctx context.Context, site Site, o Options) (*Lock, error)
}

// Ours reports whether the peer is fifolock.
func (p Peer) Ours() bool { return strings.HasPrefix(p.Name, "fifolock") && p.Earlier == "" }

// IsOther reports whether the peer is another lock than fifolock, of today and
// of an earlier revision.
func (p Peer) IsOther() bool { return !p.Ours() && p.Earlier == "" }

// Open connects to the lock. The Lock must be closed.
func (p Peer) Open(ctx context.Context, site Site, o Options) (*Lock, error) {
	if p.Earlier != "" {
		return nil, errors.New("this peer is measured by the program of an earlier revision alone")
	}
	return p.open(ctx, site, o)
}

// Lock is one process's connection to a lock, shared by its goroutines.
type Lock struct {
	newWaiter  func(ctx context.Context) (Locker, error)
	another    func(name string) *Lock // nil where it is not needed
	operations atomic.Int64
	further    atomic.Int64   // requests that travelled with another one
	closers    []func() error // called last to first
}

// Waiter returns the lock for one more goroutine. It lasts until Close, and is
// not called by two goroutines at once.
func (l *Lock) Waiter(ctx context.Context) (Locker, error) { return l.newWaiter(ctx) }

// Another returns the lock of another name on the same connections. It must not
// be closed. Not all peers have it here.
func (l *Lock) Another(name string) (*Lock, error) {
	if l.another == nil {
		return nil, errors.New("this peer has no more than one lock on a connection here")
	}
	return l.another(name), nil
}

// Operations is how many requests this process has sent to the backend's
// server: round trips, and messages on a stream. What a script does inside the
// server does not count. For a fifolock file queue it is how often a waiter or a
// holder has looked at the line; for other locks without a server it is 0.
func (l *Lock) Operations() int64 { return l.operations.Load() }

// Requests is Operations, but each request of those that travel together counts.
func (l *Lock) Requests() int64 { return l.operations.Load() + l.further.Load() }

// Close ends everything that was opened.
func (l *Lock) Close() error {
	var err error
	for i := len(l.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, l.closers[i]())
	}
	return err
}

func (l *Lock) onClose(f func() error) { l.closers = append(l.closers, f) }

// shared makes every waiter use the same Locker.
func (l *Lock) shared(locker Locker) {
	l.newWaiter = func(context.Context) (Locker, error) { return locker, nil }
}
