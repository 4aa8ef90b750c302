package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// patience is how long a worker that was told to stop may take to leave the
// line by itself before it is killed.
const patience = 5 * time.Second

// crew are the worker processes.
type crew struct {
	workers []*process
	heard   chan heard // what the workers say; closed when all have ended
}

// process is one worker, seen from its parent.
type process struct {
	number   int
	command  *exec.Cmd
	lifeline io.Closer // its stdin: closing it tells the worker to stop
}

// heard is one thing that became known about a worker.
type heard struct {
	from    *process
	message message
	ended   bool  // it has exited; nothing more will come from it
	err     error // how, if not with exit code 0
}

// startCrew starts a worker for each order. If one cannot be started, none is
// left running.
func startCrew(orders []order) (*crew, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &crew{heard: make(chan heard)}
	outputs := make([]io.Reader, len(orders))
	for i, o := range orders {
		p, output, err := startProcess(self, o)
		if err != nil {
			for _, p := range c.workers {
				p.kill()
				p.command.Wait()
			}
			return nil, fmt.Errorf("cannot start process %d: %w", o.Process, err)
		}
		c.workers = append(c.workers, p)
		outputs[i] = output
	}
	c.listen(outputs)
	return c, nil
}

func startProcess(self string, o order) (*process, io.Reader, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, nil, err
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), workerVariable+"="+string(text))
	command.Stderr = os.Stderr
	lifeline, err := command.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := command.Start(); err != nil {
		return nil, nil, err
	}
	return &process{o.Process, command, lifeline}, output, nil
}

// listen passes on what the workers write, and their ends.
func (c *crew) listen(outputs []io.Reader) {
	ended := make(chan struct{})
	for i, p := range c.workers {
		go func() {
			messages := json.NewDecoder(outputs[i])
			for {
				var m message
				if messages.Decode(&m) != nil {
					break // the pipe ends with the process, if need be in the middle of a line
				}
				c.heard <- heard{from: p, message: m}
			}
			c.heard <- heard{from: p, ended: true, err: p.command.Wait()}
			ended <- struct{}{}
		}()
	}
	go func() {
		for range c.workers {
			<-ended
		}
		close(c.heard)
	}()
}

// stop ends all workers that are still there and returns when they have ended.
// They are asked first, and leave the line behind them in order.
func (c *crew) stop() {
	for _, p := range c.workers {
		p.lifeline.Close()
	}
	hurry := time.AfterFunc(patience, func() {
		for _, p := range c.workers {
			p.kill()
		}
	})
	defer hurry.Stop()
	for range c.heard {
	}
}

// kill ends the worker at once: with SIGKILL, or TerminateProcess on Windows.
func (p *process) kill() error { return p.command.Process.Kill() }
