//go:build linux

package server

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
)

// network is one that is slow, or falls to pieces.
type network struct {
	delay  func() time.Duration // of each piece; nil: none
	piece  int                  // how many bytes at most are sent at once; 0: as they come
	breaks float64              // with what probability a piece breaks the connection
	random *rand.Rand
}

// between starts the network in front of the server and returns where it is. It
// ends with the test.
func (n network) between(t *testing.T, server string) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	var ended sync.WaitGroup
	closed := false
	ended.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			mu.Lock()
			open = append(open, client, far)
			if closed {
				client.Close()
				far.Close()
			}
			mu.Unlock()
			ended.Go(func() { n.carry(client, far) })
			ended.Go(func() { n.carry(far, client) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		closed = true
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		ended.Wait()
	})
	return listener.Addr().String()
}

// parcel is a piece on its way.
type parcel struct {
	bytes []byte
	due   time.Time
}

// carry carries what comes from one side to the other, in order, each piece
// after its delay: those behind it do not wait for it to be sent.
func (n network) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	way := make(chan parcel, 1024)
	go func() {
		defer close(way)
		buffer := make([]byte, 1<<16)
		for {
			k, err := from.Read(buffer)
			if err != nil {
				return
			}
			p := parcel{bytes: append([]byte(nil), buffer[:k]...), due: time.Now()}
			if n.delay != nil {
				p.due = p.due.Add(n.delay())
			}
			way <- p
		}
	}()
	for p := range way {
		time.Sleep(time.Until(p.due))
		if err := n.send(to, p.bytes); err != nil {
			from.Close()
			for range way { // let the reader end
			}
			return
		}
	}
}

var errBroken = errors.New("the connection breaks")

func (n network) send(to io.Writer, b []byte) error {
	size := n.piece
	if size == 0 {
		size = len(b)
	}
	for len(b) > 0 {
		if n.breaks > 0 && n.random.Float64() < n.breaks {
			return errBroken
		}
		k := min(size, len(b))
		if _, err := to.Write(b[:k]); err != nil {
			return err
		}
		b = b[k:]
	}
	return nil
}

// The way to the server takes long, and now longer, now shorter.
func TestR11SlowNetwork(t *testing.T) {
	t.Parallel()
	spec := faulttest.Redis(t, faulttest.LongLease)
	direct := spec
	random := harness.Random(t)
	spec.Addr = network{delay: func() time.Duration {
		return 50*time.Millisecond + harness.Below(random, 100*time.Millisecond)
	}}.between(t, spec.Addr)
	h := harness.New(t, direct)
	workers := h.StartAll(4, harness.With(spec))
	for _, w := range workers {
		w.Run(1, 4)
	}
	for _, w := range workers {
		w.Finished()
	}
	if v := h.Check(); v.Failures != 0 || v.LostHolds != 0 {
		t.Errorf("%v; want that it is slow and no more", v)
	}
	h.CheckNothingIsLeft()
}

// The network breaks everything into single bytes; or breaks connections in
// the middle of a command or a reply.
func TestR12NetworkInPieces(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		network  network
		tolerant bool
	}{
		"single bytes":   {network{piece: 1}, false},
		"broken replies": {network{piece: 16, breaks: 0.003}, true},
	} {
		t.Run(name, func(t *testing.T) {
			spec := faulttest.Redis(t, 2*time.Second)
			direct := spec
			c.network.random = harness.Random(t)
			spec.Addr = c.network.between(t, redistest.Addr(t))
			h := harness.New(t, direct)
			h.Tolerant = c.tolerant
			workers := h.StartAll(4, harness.With(spec))
			for _, w := range workers {
				w.Run(1, 30)
			}
			for _, w := range workers {
				w.Finished()
			}
			h.Check()
			h.CheckNothingIsLeft()
		})
	}
}

// Both versions of the protocol.
func TestR45Protocols(t *testing.T) {
	t.Parallel()
	for _, protocol := range []int{2, 3} {
		spec := faulttest.Redis(t, faulttest.LongLease)
		spec.Protocol = protocol
		h := harness.New(t, spec)
		workers := h.StartAll(3)
		for _, w := range workers {
			w.Run(1, 50)
		}
		for _, w := range workers {
			w.Finished()
		}
		h.Check()
		h.CheckNothingIsLeft()
	}
}
