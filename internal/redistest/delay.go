package redistest

import (
	"bytes"
	"net"
	"sync"
)

// delay is something that takes its time on the network, until it is let go.
type delay struct {
	text    []byte
	reached sync.Once
	there   chan struct{} // closed when the first piece has come to it
	free    chan struct{} // closed when it is let go
}

func newDelay(text string) (d *delay, let func()) {
	d = &delay{text: []byte(text), there: make(chan struct{}), free: make(chan struct{})}
	return d, sync.OnceFunc(func() { close(d.free) })
}

// wait keeps a connection waiting, and what comes on it behind.
func (d *delay) wait(l *link) {
	d.reached.Do(func() { close(d.there) })
	select {
	case <-d.free:
	case <-l.broken:
	}
}

// DelayRequests keeps the next so many commands that contain text on their way
// until let is called; then they arrive as if nothing had been. Others on the same
// connections wait behind them. reached is closed when the first one is there.
//
// The server gets also what its client has given up meanwhile.
func (p *Proxy) DelayRequests(text string, times int) (reached <-chan struct{}, let func()) {
	d, free := newDelay(text)
	end := p.add(text, times, func(l *link, _ []byte) bool {
		d.wait(l)
		return true
	})
	return d.there, func() {
		end()
		free()
	}
}

// DelayReplies keeps what the server says on its way, on every connection on which
// it says something that contains text, until let is called; then it arrives in
// order. reached is closed when the first such piece is there.
func (p *Proxy) DelayReplies(text string) (reached <-chan struct{}, let func()) {
	d, let := newDelay(text)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slow = append(p.slow, d)
	return d.there, let
}

// delayOf returns what delays a reply, nil if nothing does any more.
func (p *Proxy) delayOf(reply []byte) *delay {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.slow {
		select {
		case <-d.free:
			continue
		default:
		}
		if bytes.Contains(reply, d.text) {
			return d
		}
	}
	return nil
}

// DivertRequest takes the next command that contains text off its connection,
// which breaks: so the client sends it again, or gives it up, at once. It is
// executed when deliver is called, as one that another way was longer for; deliver
// returns when the server has answered. diverted is closed when the command is
// there.
func (p *Proxy) DivertRequest(text string) (diverted <-chan struct{}, deliver func()) {
	there := make(chan struct{})
	var request []byte
	p.add(text, 1, func(l *link, r []byte) bool {
		request = bytes.Clone(r)
		close(there)
		l.close()
		return false
	})
	return there, func() {
		p.tb.Helper()
		<-there
		p.execute(request)
	}
}

// execute sends a command to the server, and waits for the answer.
func (p *Proxy) execute(request []byte) {
	p.tb.Helper()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer server.Close()
	if _, err := server.Write(request); err != nil {
		p.tb.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); err != nil {
		p.tb.Fatal(err)
	}
}
