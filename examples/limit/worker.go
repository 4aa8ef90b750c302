package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/crew"
	"github.com/fifolock/fifolock/lock"
)

// order is what the parent tells a worker process to do.
type order struct {
	Process int
	Workers int
	Max     int
	Service string // its URL
	Place   cli.Place
}

// message is what a worker process tells its parent: nothing, the service sees
// everything.
type message struct{}

// caller is a worker process.
type caller struct {
	order
	permits *lock.Semaphore
}

// work lets the workers of the process call the service until ctx ends.
func work(ctx context.Context, o order, _ *crew.Parent[message]) error {
	q, closeQueue, err := o.Place.Open()
	if err != nil {
		return err
	}
	defer closeQueue()
	c := &caller{order: o, permits: lock.NewSemaphore(q, o.Max)}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for range o.Workers {
		group.Go(func() {
			for ctx.Err() == nil {
				if err := c.callService(ctx); err != nil && !errors.Is(err, ctx.Err()) {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != ctx.Err() {
		return err
	}
	return nil
}

// callService is what the permits are for. A call that has begun is finished, also when the
// permit is lost: Release says so, and the run has failed. Work that has to stop then gets
// its ctx from Semaphore.Do.
func (c *caller) callService(ctx context.Context) (err error) {
	hold, err := c.permits.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hold.Release()) }()
	return c.post(call{Process: c.Process, Token: hold.Token()})
}

func (c *caller) post(what call) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	answer, err := http.Post(c.Service, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the service answers: %s", answer.Status)
	}
	return nil
}
