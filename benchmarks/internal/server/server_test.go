package server

import (
	"os"
	"testing"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// TestStart starts whatever this machine has, and checks that all of it is
// gone afterwards.
func TestStart(t *testing.T) {
	set, err := Start(peer.Redis, peer.Etcd, peer.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	for b, why := range set.Missing() {
		t.Logf("%s is left out: %v", b, why)
		if _, err := find("redis-server"); b == peer.Redis && err == nil {
			t.Errorf("there is a server to start for %s", b)
		}
	}
	site := set.Site()
	for b, version := range set.Versions() {
		if !site.Has(b) || version == "" {
			t.Errorf("%s was started, but its address or version is not known", b)
		}
		if cpu, err := set.CPU(b); err != nil || cpu <= 0 {
			t.Errorf("%s: processor time %v, %v; want more than none", b, cpu, err)
		}
	}
	if err := set.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(set.dir); !os.IsNotExist(err) {
		t.Errorf("after Stop, %s: %v; want it gone", set.dir, err)
	}
	for b, r := range set.servers {
		select {
		case <-r.process.done:
		default:
			t.Errorf("after Stop, %s runs", b)
		}
	}
}
