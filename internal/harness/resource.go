//go:build linux

package harness

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"sync"
)

// resource is a storage that is protected by the fencing token: it remembers
// the highest token it has seen and refuses what comes with a lower one. It
// lives in the test's process, which is not stopped or killed.
type resource struct {
	listener net.Listener
	ended    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	clients map[net.Conn]bool
	state   resourceState
}

// resourceState is what a resource knows, and what it has counted.
type resourceState struct {
	Highest int64  // token
	Owner   string // that came with it first

	Value          int64 // what is stored: 1 is added by every accepted write
	Accepted       int
	Stale          []staleWrite // refused
	EqualFromOther int          // came with the highest token, and were not its owner
}

// staleWrite is a request that was refused.
type staleWrite struct {
	Worker         int
	Token, Highest int64
	At             int64
}

// resourceRequest presents a token. A request without Write reads: that raises
// the highest token too, or else an owner that read could be overwritten by the
// one before.
type resourceRequest struct {
	Worker int    `json:"worker"`
	Owner  string `json:"owner"` // of the token: a hold's own
	Token  int64  `json:"token"`
	Write  bool   `json:"write"`
	Value  int64  `json:"value"`
}

type resourceReply struct {
	Stale bool  `json:"stale"`
	Value int64 `json:"value"`
}

func (s *resourceState) handle(r resourceRequest) resourceReply {
	switch {
	case r.Token < s.Highest:
		s.Stale = append(s.Stale, staleWrite{r.Worker, r.Token, s.Highest, Now()})
		return resourceReply{Stale: true}
	case r.Token > s.Highest:
		s.Highest, s.Owner = r.Token, r.Owner
	case r.Owner != s.Owner:
		s.EqualFromOther++
	}
	if r.Write {
		s.Value = r.Value
		s.Accepted++
	}
	return resourceReply{Value: s.Value}
}

func startResource(path string) (*resource, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	r := &resource{listener: listener, clients: make(map[net.Conn]bool)}
	r.ended.Go(r.accept)
	return r, nil
}

func (r *resource) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.clients[conn] = true
		if r.closed {
			conn.Close()
		}
		r.mu.Unlock()
		r.ended.Go(func() { r.serve(conn) })
	}
}

func (r *resource) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		r.mu.Lock()
		delete(r.clients, conn)
		r.mu.Unlock()
	}()
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var request resourceRequest
		if in.Decode(&request) != nil {
			return
		}
		r.mu.Lock()
		reply := r.state.handle(request)
		r.mu.Unlock()
		if out.Encode(reply) != nil {
			return
		}
	}
}

func (r *resource) close() {
	r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for conn := range r.clients {
		conn.Close()
	}
	r.mu.Unlock()
	r.ended.Wait()
}

// resourceClient is a worker's connection to the resource.
type resourceClient struct {
	mu  sync.Mutex
	in  *json.Decoder
	out *json.Encoder
}

func dialResource(path string) (*resourceClient, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return &resourceClient{in: json.NewDecoder(bufio.NewReader(conn)), out: json.NewEncoder(conn)}, nil
}

func (c *resourceClient) ask(request resourceRequest) (resourceReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var reply resourceReply
	if err := c.out.Encode(request); err != nil {
		return reply, fmt.Errorf("ask the resource: %w", err)
	}
	if err := c.in.Decode(&reply); err != nil {
		return reply, fmt.Errorf("hear from the resource: %w", err)
	}
	return reply, nil
}
