package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// progress shows the place in line: on a terminal in one line that is updated,
// elsewhere in a new line when it changes. In the background of a terminal it shows nothing,
// which would be written over what is typed in the foreground.
type progress struct {
	out      io.Writer
	terminal bool
	began    time.Time
	places   chan int // with room for one, the newest
	ended    chan struct{}
}

func newProgress(out *os.File) *progress {
	p := &progress{
		out:      out,
		terminal: cli.IsTerminal(out),
		began:    time.Now(),
		places:   make(chan int, 1),
		ended:    make(chan struct{}),
	}
	go p.run()
	return p
}

// trace returns the hooks that say where in line a ticket is.
func (p *progress) trace() *lock.Trace {
	return &lock.Trace{
		Registered: func(t queue.Ticket) { p.set(t.Ahead + 1) },
		Waiting:    func(_ queue.Ticket, ahead int) { p.set(ahead + 1) },
	}
}

// set changes the place to be shown. It does not wait until it is shown: a terminal
// that is stopped (Ctrl-S) would hold up Lock, and with it the line. There is one
// caller at a time, the hooks of one Lock.
func (p *progress) set(place int) {
	select {
	case <-p.places: // not shown, and old now
	default:
	}
	p.places <- place
}

// clearTimeout is how long the terminal may take to clear the line.
const clearTimeout = time.Second

// end is called when the waiting is over: no hook is called after that. The lock may
// be held already.
func (p *progress) end() {
	close(p.places)
	select {
	case <-p.ended:
	case <-time.After(clearTimeout):
	}
}

func (p *progress) run() {
	defer close(p.ended)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	place, shown := 1, false
	for {
		select {
		case next, open := <-p.places:
			if !open {
				if shown && p.mayWrite() {
					p.clear()
				}
				return
			}
			if next == place {
				continue
			}
			place = next
		case <-tick.C:
			if !p.terminal {
				continue
			}
		}
		if place > 1 && p.mayWrite() {
			p.show(place)
			shown = true
		}
	}
}

func (p *progress) mayWrite() bool { return !p.terminal || !inBackground(p.out) }

const clearLine = "\r\x1b[K"

func (p *progress) show(place int) {
	text := fmt.Sprintf("%s in line, %d s", ordinal(place), int(time.Since(p.began).Seconds()))
	if p.terminal {
		fmt.Fprint(p.out, clearLine+text)
	} else {
		fmt.Fprintln(p.out, "withlock:", text)
	}
}

func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, clearLine)
	}
}

// ordinal is 1st for 1, 2nd for 2, and so on.
func ordinal(n int) string {
	ending := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			ending = "st"
		case 2:
			ending = "nd"
		case 3:
			ending = "rd"
		}
	}
	return fmt.Sprint(n) + ending
}
