// Package server starts the servers that locks keep their state in, and says
// what they use.
package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// running is a server that was started.
type running struct {
	process *process
	addr    string
	version string
}

// Set is the servers of one comparison, and a directory for locks in files.
// All listen on loopback and keep what they have in one temporary directory.
type Set struct {
	dir     string
	servers map[peer.Backend]*running
	missing map[peer.Backend]error
}

// kind is how one kind of server is started and how to get it.
type kind struct {
	start func(dir string) (*running, error)
	get   string
}

var kinds = map[peer.Backend]kind{
	peer.Redis:    {startRedis, "apt-get install redis-server"},
	peer.Etcd:     {startEtcd, "apt-get install etcd-server"},
	peer.Postgres: {startPostgres, "apt-get install postgresql"},
}

// Start starts the servers that are wanted. One that cannot be started is left
// out, and Missing says why. Stop must follow.
func Start(wanted ...peer.Backend) (*Set, error) {
	dir, err := temporaryDir()
	if err != nil {
		return nil, err
	}
	s := &Set{dir: dir, servers: make(map[peer.Backend]*running), missing: make(map[peer.Backend]error)}
	for _, b := range wanted {
		k, ok := kinds[b]
		if !ok {
			continue // needs none
		}
		r, err := k.start(dir)
		if err != nil {
			s.missing[b] = fmt.Errorf("%w (to have it: %s)", err, k.get)
			continue
		}
		s.servers[b] = r
	}
	return s, nil
}

// temporaryDir is on a tmpfs where there is one: what is measured is the locks,
// not the disk. Servers that run as another user may pass through it.
func temporaryDir() (string, error) {
	dir, err := os.MkdirTemp("/dev/shm", "fifolock-benchmarks-")
	if err != nil {
		dir, err = os.MkdirTemp("", "fifolock-benchmarks-")
	}
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", err
	}
	return dir, os.Mkdir(filepath.Join(dir, "locks"), 0o700)
}

// Site says where everything is.
func (s *Set) Site() peer.Site {
	return peer.Site{
		Dir:      filepath.Join(s.dir, "locks"),
		Redis:    s.addr(peer.Redis),
		Etcd:     s.addr(peer.Etcd),
		Postgres: s.addr(peer.Postgres),
	}
}

func (s *Set) addr(b peer.Backend) string {
	if r := s.servers[b]; r != nil {
		return r.addr
	}
	return ""
}

// Missing says which servers could not be started, and why.
func (s *Set) Missing() map[peer.Backend]error { return s.missing }

// Versions says what the servers call themselves.
func (s *Set) Versions() map[peer.Backend]string {
	versions := make(map[peer.Backend]string)
	for b, r := range s.servers {
		versions[b] = r.version
	}
	return versions
}

// CPU is the processor time that the backend's server has used. It is 0 where
// there is none.
func (s *Set) CPU(b peer.Backend) (time.Duration, error) {
	r := s.servers[b]
	switch {
	case r == nil:
		return 0, nil
	case b == peer.Redis:
		return redisCPU(r.addr)
	}
	return treeCPU(r.process.cmd.Process.Pid)
}

// Stop ends the servers and removes what they and the locks have left.
func (s *Set) Stop() error {
	for _, r := range s.servers {
		r.process.stop()
	}
	err := os.RemoveAll(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
