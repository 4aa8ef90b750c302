//go:build linux

package crash

import (
	"io"
	"net"
	"sync"
	"testing"
)

// gate is a network in front of a server, which can be closed in two ways.
type gate struct {
	addr     string
	server   string
	listener net.Listener

	mu     sync.Mutex
	closed bool
	pairs  map[*pair]bool
}

type pair struct{ client, server net.Conn }

func newGate(t *testing.T, server string) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: listener.Addr().String(), server: server, listener: listener, pairs: make(map[*pair]bool)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { g.pass(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		g.refuse()
		all.Wait()
	})
	return g
}

// pass connects a client with the server until one of them, or the gate, closes.
func (g *gate) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", g.server)
	if err != nil {
		return
	}
	p := &pair{client, server}
	if !g.add(p) {
		server.Close()
		return
	}
	go func() { _, _ = io.Copy(server, client); server.Close() }()
	_, _ = io.Copy(client, server)
	if g.deaf(p) {
		_, _ = io.Copy(io.Discard, client) // until the client closes, or the test ends
	}
	server.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pairs, p)
}

func (g *gate) add(p *pair) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.pairs[p] = false
	}
	return !g.closed
}

func (g *gate) deaf(p *pair) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pairs[p]
}

// refuse breaks every connection, and every new one until open.
func (g *gate) refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for p := range g.pairs {
		g.pairs[p] = false
		p.client.Close()
		p.server.Close()
	}
}

// swallow closes every connection towards the server alone: the clients hear nothing of
// it, and what they send goes nowhere. New connections break.
func (g *gate) swallow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for p := range g.pairs {
		g.pairs[p] = true
		p.server.Close()
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}
