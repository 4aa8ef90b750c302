//go:build linux

package server

import (
	"testing"

	"github.com/fifolock/fifolock/internal/redistest"
)

// A test has its address for itself, also while its server is down.
func TestFreeAddr(t *testing.T) {
	seen := make(map[string]bool)
	for range 2000 {
		addr := redistest.FreeAddr(t)
		if seen[addr] {
			t.Fatalf("%s was given away twice", addr)
		}
		seen[addr] = true
	}
}
