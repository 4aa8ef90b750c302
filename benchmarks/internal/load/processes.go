package load

import (
	"encoding/gob"
	"errors"
	"fmt"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/clock"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// soon is when workers begin after they were told: all have heard of it then.
const soon = 50 * time.Millisecond

// ContendBetweenProcesses does what the plan says in some processes at once, with
// so many goroutines in each. around is called when all are connected, and again when
// they have ended, before they disconnect.
func ContendBetweenProcesses(p peer.Peer, site peer.Site, o peer.Options, plan Plan, around func() error, goroutines ...int) (Run, error) {
	var workers []*worker
	defer func() {
		for _, w := range workers {
			w.kill()
		}
	}()
	part := plan
	for _, n := range goroutines {
		part.Waiters = n
		w, err := startWorker(order{Job: contend, Peer: p.Name, Site: site, Options: o, Plan: part})
		part.First += n
		if err != nil {
			return Run{}, err
		}
		workers = append(workers, w)
	}
	var err error
	for _, w := range workers {
		err = errors.Join(err, w.ready())
	}
	if err = errors.Join(err, around()); err != nil {
		return Run{}, err
	}
	r, err := collect(workers)
	r.Plan = plan
	return r, errors.Join(err, around())
}

// collect begins, and puts together what each process has seen.
func collect(workers []*worker) (Run, error) {
	start := clock.Now() + int64(soon)
	for _, w := range workers {
		if _, err := fmt.Fprintln(w.in, start); err != nil {
			return Run{}, err
		}
	}
	var all Run
	for i, w := range workers {
		var r Run
		if err := gob.NewDecoder(w.out).Decode(&r); err != nil {
			return Run{}, fmt.Errorf("result of process %d: %w%s", i, err, w.said())
		}
		all.From, all.To = r.From, max(all.To, r.To)
		all.Waiters += r.Waiters
		all.Samples = append(all.Samples, r.Samples...)
		all.Grants += r.Grants
		all.Unserved += r.Unserved
		all.GivenUp = append(all.GivenUp, r.GivenUp...)
		all.Operations += r.Operations
		all.ClientCPU += r.ClientCPU
	}
	all.finish()
	return all, nil
}
