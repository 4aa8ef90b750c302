package main

import (
	"fmt"
	"io"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
)

// progress says how far the run is: on a terminal in one line that is written
// over, elsewhere in a few plain lines.
type progress struct {
	out      io.Writer
	terminal bool
	total    int
	leases   string    // how long a killed process is believed to live; empty for not at all
	last     time.Time // when it was last written
}

func newProgress(out io.Writer, s settings) *progress {
	// The killed process takes the lock lastRound times, the last one included.
	total := (s.procs-1)*s.rounds + s.lastRound()
	p := &progress{out: out, terminal: cli.IsTerminal(out), total: total, leases: s.place.Leases(), last: time.Now()}
	return p
}

func (p *progress) show(sections []section) {
	every := 2 * time.Second
	if p.terminal {
		every = 100 * time.Millisecond
	}
	last := sections[len(sections)-1]
	if !last.Killed && time.Since(p.last) < every {
		return
	}
	p.last = time.Now()
	line := fmt.Sprintf("%5d of %d sections", len(sections), p.total)
	if last.Killed {
		line += fmt.Sprintf("; process %d killed", last.Process)
		if p.leases != "" {
			line += ", which has " + p.leases
		}
	}
	if p.terminal {
		fmt.Fprintf(p.out, "\r%-75s", line)
	} else {
		fmt.Fprintln(p.out, line)
	}
}

// end clears the line for what comes next.
func (p *progress) end() {
	if p.terminal {
		fmt.Fprintf(p.out, "\r%75s\r", "")
	}
}
