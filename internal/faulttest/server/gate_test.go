//go:build linux

package server

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// gate is a network in front of a server, which can be closed in three ways.
type gate struct {
	addr     string
	server   string
	listener net.Listener

	mu     sync.Mutex
	closed bool
	silent bool           // new connections come to nothing
	delay  time.Duration  // of what goes to the server
	pairs  map[*pair]bool // whether the client hears nothing of the end
	ponged chan *pair     // receives a subscription that was asked and has heard that it is alive; nil if no test waits
}

type pair struct {
	client, server net.Conn
	subscribed     bool // guarded by the gate's mu, as all below
	asked          bool // whether it is alive, since a test waits
}

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
	p := &pair{client: client, server: server}
	if !g.add(p) {
		server.Close()
		return
	}
	if !g.isSilent() {
		go func() { _, _ = io.Copy(server, io.TeeReader(client, tap{g, p})); server.Close() }()
		_, _ = io.Copy(io.MultiWriter(client, heard{g, p}), server)
	}
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
		g.pairs[p] = g.silent
	}
	return !g.closed
}

func (g *gate) isSilent() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.silent
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
	g.breakLocked()
}

func (g *gate) breakLocked() {
	for p := range g.pairs {
		g.pairs[p] = false
		p.client.Close()
		p.server.Close()
	}
}

// blackhole breaks every connection. New ones are never answered, until open.
func (g *gate) blackhole() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.silent = true
	g.breakLocked()
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

// slow delays everything that goes to the server from now on.
func (g *gate) slow(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = d
}

// swallowSubscription closes a subscription towards the server alone, when a ping of it
// was answered: the client hears nothing of it.
func (g *gate) swallowSubscription() {
	ponged := make(chan *pair, 1)
	g.mu.Lock()
	g.ponged = ponged
	for p := range g.pairs {
		p.asked = false
	}
	g.mu.Unlock()
	p := <-ponged
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pairs[p] = true
	p.server.Close()
}

// tap is told what goes to the server.
type tap struct {
	g *gate
	p *pair
}

func (t tap) Write(b []byte) (int, error) {
	t.g.mu.Lock()
	delay := t.g.delay
	t.p.asked = t.p.asked || t.p.subscribed && bytes.Contains(b, []byte("ping"))
	t.p.subscribed = t.p.subscribed || bytes.Contains(b, []byte("subscribe"))
	t.g.mu.Unlock()
	time.Sleep(delay)
	return len(b), nil
}

// heard is told what the server has said.
type heard tap

func (h heard) Write(b []byte) (int, error) {
	h.g.mu.Lock()
	defer h.g.mu.Unlock()
	const pong = "$8\r\nfifolock\r\n" // what a ping says is repeated
	if h.g.ponged != nil && h.p.asked && bytes.Contains(b, []byte(pong)) {
		h.g.ponged <- h.p
		h.g.ponged = nil
	}
	return len(b), nil
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.silent = false, false
}
