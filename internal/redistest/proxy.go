package redistest

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"testing"
)

// Proxy is a network between a client and a server that can be told to fail. It
// takes what a client writes at once for one command, as it is without a
// pipeline.
type Proxy struct {
	// Addr is where clients connect to.
	Addr string

	tb       testing.TB
	server   string
	listener net.Listener
	ended    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	links  map[*link]bool
	rules  []*rule
	seen   []*sight
	slow   []*delay      // of what the server says
	dark   chan struct{} // closed when the network is not a black hole (any more)
	heal   func()        // closes dark, once
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	broken         chan struct{} // closed by close, once
	closing        sync.Once

	mu        sync.Mutex
	loseReply bool
}

// rule is what happens to the next commands that contain a text.
type rule struct {
	text  []byte
	times int
	act   func(l *link, request []byte) (forward bool)
}

// sight is of the first command that contains a text.
type sight struct {
	text  []byte
	there chan struct{} // closed when it has come
}

// NewProxy starts a proxy in front of the server at addr. It ends with the test.
func NewProxy(tb testing.TB, addr string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{
		Addr:     listener.Addr().String(),
		tb:       tb,
		server:   addr,
		listener: listener,
		links:    make(map[*link]bool),
	}
	p.BlackHole()()
	p.ended.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// LoseReplies executes the next so many commands that contain text, but loses
// their replies: the connection breaks instead.
func (p *Proxy) LoseReplies(text string, times int) {
	p.add(text, times, func(l *link, _ []byte) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.loseReply = true
		return true
	})
}

// LoseRequests loses the next so many commands that contain text, until end is called: the
// connection breaks instead.
func (p *Proxy) LoseRequests(text string, times int) (end func()) {
	return p.add(text, times, func(l *link, _ []byte) bool {
		l.close()
		return false
	})
}

// HoldRequest keeps the next command that contains text. The client waits for
// its reply. The command is executed when deliver is called, whether or not
// the client has given up by then; deliver returns when the server has
// answered. held is closed when the command is there.
func (p *Proxy) HoldRequest(text string) (held <-chan struct{}, deliver func()) {
	there := make(chan struct{})
	var request []byte
	p.add(text, 1, func(_ *link, r []byte) bool {
		request = bytes.Clone(r)
		close(there)
		return false
	})
	return there, func() {
		p.tb.Helper()
		<-there
		p.execute(request)
	}
}

// See returns a channel that is closed when the next command that contains text has come,
// also in a black hole.
func (p *Proxy) See(text string) (come <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &sight{[]byte(text), make(chan struct{})}
	p.seen = append(p.seen, s)
	return s.there
}

// see tells those that wait for a command that it has come.
func (p *Proxy) see(request []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = slices.DeleteFunc(p.seen, func(s *sight) bool {
		has := bytes.Contains(request, s.text)
		if has {
			close(s.there)
		}
		return has
	})
}

// Cut breaks all connections. New ones are made as before.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// BlackHole makes the network swallow everything, without breaking a
// connection, until heal is called; what was sent meanwhile arrives then.
func (p *Proxy) BlackHole() (heal func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dark := make(chan struct{})
	p.dark, p.heal = dark, sync.OnceFunc(func() { close(dark) })
	return p.heal
}

// add adds a rule and returns a function that ends it.
func (p *Proxy) add(text string, times int, act func(*link, []byte) bool) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &rule{[]byte(text), times, act}
	p.rules = append(p.rules, r)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		r.times = 0
	}
}

// match returns what happens to a command, nil if nothing special.
func (p *Proxy) match(request []byte) func(*link, []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.rules {
		if r.times > 0 && bytes.Contains(request, r.text) {
			r.times--
			return r.act
		}
	}
	return nil
}

// light returns a channel that is closed when the network is no black hole.
func (p *Proxy) light() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dark
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		l := &link{client: client, server: server, broken: make(chan struct{})}
		p.mu.Lock()
		if p.closed {
			l.close()
		}
		p.links[l] = true
		p.mu.Unlock()
		p.ended.Go(func() { p.requests(l) })
		p.ended.Go(func() { p.replies(l) })
	}
}

func (p *Proxy) requests(l *link) {
	defer p.forget(l)
	buffer := make([]byte, 1<<16)
	for {
		n, err := l.client.Read(buffer)
		if err != nil {
			return
		}
		p.see(buffer[:n])
		<-p.light()
		if act := p.match(buffer[:n]); act != nil && !act(l, buffer[:n]) {
			continue
		}
		if _, err := l.server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) replies(l *link) {
	defer p.forget(l)
	buffer := make([]byte, 1<<16)
	for {
		n, err := l.server.Read(buffer)
		if err != nil {
			return
		}
		<-p.light()
		l.mu.Lock()
		lose := l.loseReply
		l.mu.Unlock()
		if lose {
			return
		}
		if d := p.delayOf(buffer[:n]); d != nil {
			d.wait(l)
		}
		if _, err := l.client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) forget(l *link) {
	l.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (l *link) close() {
	l.closing.Do(func() { close(l.broken) })
	l.client.Close()
	l.server.Close()
}

func (p *Proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	select {
	case <-p.dark:
	default:
		p.tb.Error("a black hole was not healed")
		p.heal() // or the links would wait in it for ever
	}
	p.mu.Unlock()
	p.Cut()
	p.ended.Wait()
}
