package peer

import (
	"context"
	"sync"
)

// syncMutex is a [sync.Mutex].
type syncMutex struct{ mutex sync.Mutex }

// Lock implements [Locker].
func (m *syncMutex) Lock(context.Context) error {
	m.mutex.Lock()
	return nil
}

// Unlock implements [Locker].
func (m *syncMutex) Unlock() error {
	m.mutex.Unlock()
	return nil
}

func openSyncMutex(context.Context, Site, Options) (*Lock, error) {
	l := &Lock{}
	l.shared(&syncMutex{})
	return l, nil
}
