package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fifolock/fifolock/lock"
)

// observation is all that was seen in a run.
type observation struct {
	settings settings
	sections []section // also the one whose process was killed
	number   int       // what the file says at the end
	left     []string  // what the queue left behind
}

// run does one run. The parent holds the lock until every worker is in line, so
// that it is known who came when before the first is served.
func run(ctx context.Context, s settings, p *place, progress *progress) (*observation, error) {
	defer progress.end()
	q, closeQueue := p.openQueue()
	defer closeQueue()
	mutex := lock.New(q)
	if err := mutex.Lock(ctx); err != nil {
		return nil, err
	}
	gate := &gate{mutex: mutex, closed: s.procs}
	defer gate.open()

	crew, err := startCrew(orders(s, p))
	if err != nil {
		return nil, err
	}
	defer crew.stop()

	o := &observer{clock: newClock(), seen: &observation{settings: s}, gate: gate, progress: progress}
	if err := o.watch(ctx, crew); err != nil {
		return nil, err
	}
	if o.seen.number, err = readNumber(p.numberFile()); err != nil {
		return nil, err
	}
	o.seen.left, err = p.leftovers(ctx)
	return o.seen, err
}

func orders(s settings, p *place) []order {
	orders := make([]order, s.procs)
	for i := range orders {
		orders[i] = order{Process: i + 1, Rounds: s.rounds, Place: *p}
		if i+1 == s.victim() {
			orders[i].HoldInRound = s.lastRound()
		}
	}
	return orders
}

// gate is the lock in the hands of the parent.
type gate struct {
	mutex  *lock.Mutex
	closed int // workers that are not in line yet
	opened bool
}

// arrive counts one worker that is in line, and opens behind the last.
func (g *gate) arrive() error {
	if g.closed--; g.closed > 0 {
		return nil
	}
	return g.open()
}

func (g *gate) open() error {
	if g.opened {
		return nil
	}
	g.opened = true
	return g.mutex.Unlock()
}

// observer writes down what the workers say, and kills one of them.
type observer struct {
	clock    clock
	seen     *observation
	gate     *gate
	progress *progress
	killed   *process
}

// watch returns when all workers have ended as they should, or at the first
// that went wrong.
func (o *observer) watch(ctx context.Context, c *crew) error {
	for {
		select {
		case <-ctx.Done():
			return errors.New("interrupted")
		case h, ok := <-c.heard:
			if !ok {
				return nil
			}
			if err := o.note(h); err != nil {
				return fmt.Errorf("process %d (pid %d): %w", h.from.number, h.from.command.Process.Pid, err)
			}
		}
	}
}

func (o *observer) note(h heard) error {
	switch m := h.message; {
	case h.ended && h.from == o.killed:
		return nil
	case h.ended:
		return h.err
	case m.Failed != "":
		return errors.New(m.Failed)
	case m.InLine:
		return o.gate.arrive()
	case m.Holding != nil:
		return o.kill(h.from, *m.Holding)
	case m.Done != nil:
		o.add(*m.Done)
	}
	return nil
}

func (o *observer) kill(p *process, s section) error {
	o.killed = p
	s.Killed = true
	s.Released = o.clock.now()
	o.add(s)
	return p.kill()
}

func (o *observer) add(s section) {
	o.seen.sections = append(o.seen.sections, s)
	o.progress.show(o.seen.sections)
}
