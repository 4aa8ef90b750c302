package main

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// call is one call of the service: what the worker says of it, and what the
// service sees.
type call struct {
	Process int
	Token   int64 // of the permit

	began, ended time.Time
	killed       bool // the process was killed meanwhile, at ended
}

// service stands for what can bear only so many calls at a time. It knows nothing
// of permits; it counts. It also kills a process in the middle of a call, and it
// is the one that knows when that was.
type service struct {
	settings settings
	url      string
	server   *http.Server
	served   chan struct{} // closed when the server has ended
	enough   chan struct{} // closed when enough was seen

	mu       sync.Mutex
	kill     func() error // nil before the workers are there; guarded by mu
	calls    []*call      // in the order in which they came; guarded by mu
	inUse    int          // calls that have not ended; guarded by mu
	killedAt time.Time    // guarded by mu
	allAgain time.Time    // when all permits were in use after that; guarded by mu
	after    int          // calls since then; guarded by mu
}

func startService(s settings) (*service, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	v := &service{settings: s, url: "http://" + listener.Addr().String(), served: make(chan struct{}), enough: make(chan struct{})}
	v.server = &http.Server{Handler: v, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(v.served)
		v.server.Serve(listener)
	}()
	return v, nil
}

func (v *service) stop() {
	v.server.Close()
	<-v.served
}

// ServeHTTP takes the time that a call takes.
func (v *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{}
	if err := json.NewDecoder(r.Body).Decode(c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !v.begin(c) {
		return
	}
	time.Sleep(v.settings.took)
	v.end(c)
}

// begin counts the call, unless its process was killed before it came.
func (v *service) begin(c *call) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	dead := !v.killedAt.IsZero()
	if dead && c.Process == victim {
		return false
	}
	c.began = time.Now()
	v.calls = append(v.calls, c)
	v.inUse++
	switch {
	case !dead && c.Process == victim && v.kill != nil && len(v.calls) > v.settings.calls:
		v.killVictim()
	case dead && v.allAgain.IsZero() && v.inUse == v.settings.max:
		v.allAgain = c.began
	case !v.allAgain.IsZero():
		if v.after++; v.after == v.settings.calls {
			close(v.enough)
		}
	}
	return true
}

// killVictim kills the process in the middle of its calls: they have ended by then.
// mu is held.
func (v *service) killVictim() {
	v.kill() // if it has ended by itself, its parent hears of it
	v.killedAt = time.Now()
	for _, c := range v.calls {
		if c.Process == victim && c.ended.IsZero() {
			c.ended, c.killed = v.killedAt, true
			v.inUse--
		}
	}
}

func (v *service) end(c *call) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !c.killed {
		c.ended = time.Now()
		v.inUse--
	}
}

// victim says how the process is killed.
func (v *service) victim(kill func() error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.kill = kill
}

func (v *service) hasKilled() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.killedAt.IsZero()
}

// seen is what the service has seen when all have ended.
func (v *service) seen() *observation {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := &observation{settings: v.settings, killedAt: v.killedAt, allAgain: v.allAgain}
	for _, c := range v.calls {
		o.calls = append(o.calls, *c)
	}
	slices.SortFunc(o.calls, func(a, b call) int { return a.began.Compare(b.began) })
	return o
}
