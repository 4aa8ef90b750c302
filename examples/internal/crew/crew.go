// Package crew lets an example start worker processes, which are the same program
// again, and hear what they tell. A worker finds its order in its environment and
// tells what it has seen on its stdout, in JSON; its stdin ends with its parent.
package crew

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"time"
)

// stopTimeout is how long a worker that was told to stop may take to leave the line
// by itself before it is killed.
const stopTimeout = 5 * time.Second

// Crew are the worker processes, which tell messages of type M.
type Crew[M any] struct {
	Workers []*Process
	Heard   chan Heard[M] // what the workers tell; closed when all have ended
}

// Process is one worker, seen from its parent.
type Process struct {
	Number  int // 1 for the first
	command *exec.Cmd
	stdin   io.WriteCloser
	killed  atomic.Bool // by Kill
}

// Heard is one thing that became known about a worker: a message, or its end.
type Heard[M any] struct {
	From    *Process
	Message *M
	Ended   bool  // it has exited; nothing more will come from it
	Err     error // with Ended: what it failed with; nil for exit code 0, and after Kill
}

// Start starts a worker for each order. If one cannot be started, none is left
// running.
func Start[M, O any](orders []O) (*Crew[M], error) {
	c := &Crew[M]{Heard: make(chan Heard[M])}
	outputs := make([]io.Reader, len(orders))
	for i, o := range orders {
		p := &Process{Number: i + 1}
		output, err := p.start(o)
		if err != nil {
			for _, p := range c.Workers {
				p.Kill()
				p.command.Wait()
			}
			return nil, fmt.Errorf("cannot start process %d: %w", p.Number, err)
		}
		c.Workers = append(c.Workers, p)
		outputs[i] = output
	}
	c.listen(outputs)
	return c, nil
}

func (p *Process) start(order any) (output io.Reader, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	p.command = exec.Command(self)
	p.command.Env = append(os.Environ(), variable+"="+string(text))
	p.command.Stderr = os.Stderr
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	if output, err = p.command.StdoutPipe(); err != nil {
		return nil, err
	}
	return output, p.command.Start()
}

// listen passes on what the workers tell, and their ends.
func (c *Crew[M]) listen(outputs []io.Reader) {
	ended := make(chan struct{})
	for i, p := range c.Workers {
		go func() {
			err := c.hear(p, json.NewDecoder(outputs[i]))
			if werr := p.command.Wait(); err == nil {
				err = werr
			}
			switch {
			case p.killed.Load():
				err = nil
			case err != nil:
				err = fmt.Errorf("process %d (pid %d): %w", p.Number, p.command.Process.Pid, err)
			}
			c.Heard <- Heard[M]{From: p, Ended: true, Err: err}
			ended <- struct{}{}
		}()
	}
	go func() {
		for range c.Workers {
			<-ended
		}
		close(c.Heard)
	}()
}

// hear returns when there is nothing more to hear of the worker, with what it says
// that it has failed with. The pipe ends with the process, if need be in the middle
// of a line.
func (c *Crew[M]) hear(p *Process, messages *json.Decoder) error {
	for {
		var e envelope[M]
		if messages.Decode(&e) != nil {
			return nil
		}
		if e.Failed != "" {
			return fmt.Errorf("%s", e.Failed)
		}
		c.Heard <- Heard[M]{From: p, Message: e.Message}
	}
}

// Go lets those workers go on that wait for it.
func (c *Crew[M]) Go() {
	for _, p := range c.Workers {
		fmt.Fprintln(p.stdin)
	}
}

// Stop ends all workers that are still there and returns when they have ended, with
// what they failed with. They are asked first, and leave the line in order.
func (c *Crew[M]) Stop() error {
	for _, p := range c.Workers {
		p.stdin.Close()
	}
	hurry := time.AfterFunc(stopTimeout, func() {
		for _, p := range c.Workers {
			p.command.Process.Kill()
		}
	})
	defer hurry.Stop()
	var errs []error
	for h := range c.Heard {
		errs = append(errs, h.Err)
	}
	return errors.Join(errs...)
}

// Kill ends the worker at once: with SIGKILL, or TerminateProcess on Windows.
func (p *Process) Kill() error {
	p.killed.Store(true)
	return p.command.Process.Kill()
}
