package crew

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// variable makes a program a worker; its value is an order.
const variable = "FIFOLOCK_EXAMPLE_WORKER"

// envelope is what goes over the pipe: a message, or the end of a worker that has
// failed.
type envelope[M any] struct {
	Message *M     `json:",omitempty"`
	Failed  string `json:",omitempty"`
}

// IsWorker reports whether this process is a worker.
func IsWorker() bool { return os.Getenv(variable) != "" }

// Parent is what a worker knows of its parent. Its methods may be called
// concurrently.
type Parent[M any] struct {
	mu    sync.Mutex
	out   *json.Encoder // guarded by mu
	begun chan struct{} // closed when the parent has said Go
}

// Work is the main function of a worker: it ends the process when work returns.
// The ctx ends with the parent, or when that says Stop. Ctrl-C reaches every
// process of a terminal, and so does its end; the parent decides what is to be done about it.
func Work[M, O any](work func(ctx context.Context, order O, parent *Parent[M]) error) {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(context.Background())
	p := &Parent[M]{out: json.NewEncoder(os.Stdout), begun: make(chan struct{})}
	go func() {
		defer cancel()
		stdin := bufio.NewReader(os.Stdin)
		if _, err := stdin.ReadByte(); err == nil {
			close(p.begun)
		}
		io.Copy(io.Discard, stdin)
	}()
	var order O
	err := json.Unmarshal([]byte(os.Getenv(variable)), &order)
	if err == nil {
		err = work(ctx, order, p)
	}
	if err != nil {
		p.out.Encode(envelope[M]{Failed: err.Error()})
		os.Exit(1)
	}
	os.Exit(0)
}

// Tell sends a message to the parent.
func (p *Parent[M]) Tell(message M) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Encode(envelope[M]{Message: &message})
}

// AwaitGo waits until the parent says Go.
func (p *Parent[M]) AwaitGo(ctx context.Context) error {
	select {
	case <-p.begun:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
