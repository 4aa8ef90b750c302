// Package perclient keeps one value for each client that a program has, for as long
// as the value is used.
package perclient

import (
	"reflect"
	"runtime"
	"sync"
	"weak"
)

// Registry has the value of each client. It does not keep it: when nothing refers to
// the value any more, its client is forgotten. The zero value works; it must not be
// copied, and may be used by many goroutines.
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
