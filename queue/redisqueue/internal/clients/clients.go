// Package clients is careful with Redis clients: they belong to the caller, and may be
// of a type of the caller's.
package clients

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"weak"

	"github.com/redis/go-redis/v9"
)

// Call calls f, which uses a client, and returns a panic of it as an error. A client may
// be a wrapper of the caller's, and may have hooks of the caller's, but the goroutine
// that it is called in is not always the caller's: one that panics fails its own call,
// and not the process.
func Call(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the client panicked: %v", v)
		}
	}()
	return f()
}

// Sharded is a client whose keys have homes of their own, as a Ring is.
type Sharded interface {
	GetShardClientForKey(key string) (*redis.Client, error)
}

// Clustered is a client whose keys are at several nodes.
type Clustered interface {
	MasterForKey(ctx context.Context, key string) (*redis.Client, error)
}

// Reloader is a client of a Cluster, which knows which node has which slots.
type Reloader interface {
	ReloadState(ctx context.Context)
}

// ReloadState has the client of a Cluster ask, in the background, which node has
// which slots, after an error that did not come from a node, or from one that is only
// coming back at its address: it loads its data, or knows no Cluster. By itself the client
// does so when a node tells it that it is not the one, which these do not, and then once a
// minute: a lease may be shorter than that.
func ReloadState(ctx context.Context, client any, err error) {
	cluster, ok := client.(Reloader)
	var reply redis.Error
	answers := errors.As(err, &reply) && !redis.HasErrorPrefix(err, "CLUSTERDOWN") && !redis.HasErrorPrefix(err, "LOADING")
	if ok && !answers && ctx.Err() == nil {
		_ = Call(func() error { cluster.ReloadState(ctx); return nil })
	}
}

// Registry has one value for each client that a program has. It does not keep it: when
// nothing refers to the value any more, its client is forgotten. (A client that refers to
// its own value, as one with a lock in it does, never is.) The zero value works; it must not
// be copied, and may be used by many goroutines.
type Registry[T any] struct {
	mu       sync.Mutex
	byClient map[any]weak.Pointer[T]
}

// Of returns the one value of a client, which it makes if there is none. A client that
// cannot be compared cannot be recognised: each call makes a value.
func (r *Registry[T]) Of(client any, make func() *T) *T {
	if !reflect.ValueOf(client).Comparable() {
		return make()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.byClient[client].Value(); v != nil {
		return v
	}
	v := make()
	if r.byClient == nil {
		r.byClient = map[any]weak.Pointer[T]{}
	}
	r.byClient[client] = weak.Make(v)
	runtime.AddCleanup(v, r.forget, client)
	return v
}

func (r *Registry[T]) forget(client any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// There may be a new one by now.
	if r.byClient[client].Value() == nil {
		delete(r.byClient, client)
	}
}

// Len returns how many clients have a value.
func (r *Registry[T]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byClient)
}
