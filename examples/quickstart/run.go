package main

import (
	"context"
	"path/filepath"

	"github.com/fifolock/fifolock/examples/internal/crew"
	"github.com/fifolock/fifolock/lock"
)

// observation is all that was seen in a run.
type observation struct {
	settings settings
	sections []section // also the one whose process was killed
	number   int       // what the file says at the end
	left     []string  // what the queue left behind
	without  loss      // what was seen without a lock, before
}

// run does one run. The parent holds the lock until every worker is in line, so
// that it is known which process came when before the first is served.
func run(ctx context.Context, s settings, progress *progress) (*observation, error) {
	defer progress.end()
	q, closeQueue, err := s.place.Open()
	if err != nil {
		return nil, err
	}
	defer closeQueue()
	mutex := lock.New(q)
	if err := mutex.Lock(ctx); err != nil {
		return nil, err
	}
	gate := &gate{mutex: mutex, closed: s.procs}
	defer gate.open()

	o := &observer{clock: newClock(), seen: &observation{settings: s}, gate: gate, progress: progress}
	if o.seen.without, err = runWithoutLock(ctx, s, min(s.rounds, roundsBefore)); err != nil {
		return nil, err
	}
	number := filepath.Join(s.directory, "number")
	if err := writeNumber(number, 0); err != nil {
		return nil, err
	}
	workers, err := crew.Start[message](orders(s, number))
	if err != nil {
		return nil, err
	}
	defer workers.Stop()
	if err := watch(ctx, workers, o.note); err != nil {
		return nil, err
	}
	if o.seen.number, err = readNumber(number); err != nil {
		return nil, err
	}
	o.seen.left, err = s.place.Leftovers(ctx)
	return o.seen, err
}

func orders(s settings, number string) []order {
	orders := make([]order, s.procs)
	for i := range orders {
		orders[i] = order{Process: i + 1, Rounds: s.rounds, NumberFile: number, Place: s.place}
		if i+1 == s.victim() {
			orders[i].HoldInRound = s.lastRound()
		}
	}
	return orders
}

// watch returns when all workers have ended, or at the first error of note, which
// is called with everything that is heard of them.
func watch(ctx context.Context, workers *crew.Crew[message], note func(crew.Heard[message]) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case h, ok := <-workers.Heard:
			if !ok {
				return nil
			}
			if err := note(h); err != nil {
				return err
			}
		}
	}
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
}

func (o *observer) note(h crew.Heard[message]) error {
	switch m := h.Message; {
	case h.Ended:
		return h.Err
	case m.Ready:
		return o.gate.arrive()
	case m.Holding != nil:
		return o.kill(h.From, *m.Holding)
	case m.Done != nil:
		o.add(*m.Done)
	}
	return nil
}

func (o *observer) kill(p *crew.Process, s section) error {
	s.Killed = true
	s.Released = o.clock.now()
	o.add(s)
	return p.Kill()
}

func (o *observer) add(s section) {
	o.seen.sections = append(o.seen.sections, s)
	o.progress.show(o.seen.sections)
}
