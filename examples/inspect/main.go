// Inspect shows which processes hold a lock and which wait for it: place in line,
// fencing token, host, pid and label, since when, and when each last showed that it
// is alive. It stands in no line itself, and changes nothing, but for -evict.
//
//	go run ./examples/inspect -file ~/report.lock
//	go run ./examples/inspect -redis localhost:6379 -name report
//	go run ./examples/inspect -file ~/report.lock -watch 1s    # again every second, until Ctrl-C
//	go run ./examples/inspect -file ~/report.lock -json        # one JSON object a line
//	go run ./examples/inspect -file ~/report.lock -watch 1s -for 1m
//	go run ./examples/inspect -file ~/report.lock -evict 1795644838700928
//
// Without -file and -redis the address is that of FIFOLOCK_REDIS in the environment. A
// queue is there only while a process is in line; so a name that was never used looks
// like a lock that is free.
//
// Times are by the clock of the storage: the Redis server, the file system. A
// holder that looks dead is evicted by the next process that comes or waits. LAST
// SEEN is empty where nothing is to be seen: the holder of a lock in a file
// system need not show anything, the kernel says whether it is alive. LEASE says after
// how long without a sign of life a ticket is evicted, and with crash detection after how
// long its process must have ended. If crash detection does not work for longer than a
// moment, the owner's program lacks a right in the server.
//
// The members of -json, the first in line first, have place, token, owns (it holds the
// lock, or a permit), max (the n of a semaphore), dead (it looks dead), host, pid, label,
// since and last_seen, lease_seconds, crash_detection_seconds, unseen (crash detection
// does not work), and gone (since when its process has been missing). What is not known
// is left out, but owns and dead never are.
//
// -evict takes the ticket with that token out of the line, after it has said what
// that does and was answered with yes. It is for a holder that hangs and cannot be
// ended, which is the better way: a ticket goes with its process.
//
// Exit codes:
//
//	0  it was shown, or evicted
//	1  the queue could not be read, with -watch the last time; or there is nothing
//	   to evict, or the answer was not yes
//	2  the arguments make no sense
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/queue"
)

// answerTimeout is how long the storage may take to answer.
const answerTimeout = 5 * time.Second

func main() { cli.Main("inspect", inspect) }

// settings are what the arguments say.
type settings struct {
	place           cli.Place
	watch, lifetime time.Duration
	json            bool
	evict           int64
}

func parse(args []string) (settings, error) {
	var s settings
	flags := cli.NewFlags("inspect", "-file DIR | -redis ADDRESS -name NAME [flags]")
	flags.Place(&s.place, true)
	flags.Duration(&s.watch, "watch", 0, "look again after this `time`, until interrupted")
	flags.Duration(&s.lifetime, "for", 0, "with -watch: end after this `time`")
	flags.BoolVar(&s.json, "json", false, "print JSON, one object a line")
	flags.Func("evict", "take the ticket with this `token` out of the line, after a question", func(text string) (err error) {
		if s.evict, err = strconv.ParseInt(text, 10, 64); err != nil || s.evict <= 0 {
			return errors.New("give a token, which is a number above 0")
		}
		return nil
	})
	flags.Check(func() error {
		switch {
		case s.lifetime > 0 && s.watch == 0:
			return errors.New("-for is for -watch")
		case s.evict > 0 && (s.watch > 0 || s.json):
			return errors.New("-evict asks and answers: leave out -watch and -json")
		}
		return nil
	})
	return s, flags.Parse(args)
}

func inspect(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	q, closeQueue, err := s.place.Open()
	if err != nil {
		return err
	}
	defer closeQueue()
	i := &inspector{settings: s, queue: q, out: out}
	switch {
	case s.evict > 0:
		return i.evict(ctx, os.Stdin)
	case s.watch == 0:
		return i.show(ctx)
	case s.lifetime > 0:
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.lifetime)
		defer cancel()
	}
	return i.watch(ctx)
}

// inspector shows a queue.
type inspector struct {
	settings
	queue queue.TicketQueue
	out   io.Writer
}

// show looks once, and shows what it saw.
func (i *inspector) show(ctx context.Context) error {
	l, err := i.look(ctx)
	if err != nil {
		return err
	}
	if i.json {
		return l.writeJSON(i.out)
	}
	return l.writeTable(i.out, len(l.Members))
}

// watch shows the queue again and again until ctx ends. What fails once may work
// the next time: a server that is started again, say. It returns the error of the last
// look, but not of one that was cut off by the end of ctx, unless it is the only one.
func (i *inspector) watch(ctx context.Context) error {
	show := i.showOrSay
	if !i.json && cli.IsTerminal(i.out) {
		fmt.Fprint(i.out, clearScreen)
		show = i.redraw
	}
	last := show(ctx)
	for cli.Sleep(ctx, i.settings.watch) == nil {
		if err := show(ctx); err == nil || ctx.Err() == nil {
			last = err
		}
	}
	return last
}

func (i *inspector) showOrSay(ctx context.Context) error {
	err := i.show(ctx)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "inspect:", err)
	}
	return err
}

// What a terminal understands.
const (
	clearScreen = "\x1b[H\x1b[2J"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
	noWrap      = "\x1b[?7l" // what is too long for a line is cut off
	wrap        = "\x1b[?7h"
)

// redraw shows the queue in place of what was shown before, as far as the screen
// has room. The lines wrap again after each picture: Ctrl-Z gives the terminal to a shell.
func (i *inspector) redraw(ctx context.Context) error {
	l, err := i.look(ctx)
	var text bytes.Buffer
	switch {
	case ctx.Err() != nil: // what was seen before stays
		return err
	case err != nil:
		fmt.Fprintf(&text, "%s  %v\n", time.Now().Format(time.TimeOnly), err)
	default:
		l.writeTable(&text, roomFor(rows(i.out)))
	}
	screen := home + noWrap + string(bytes.ReplaceAll(text.Bytes(), []byte("\n"), []byte(clearLine+"\n"))) + clearBelow + wrap
	if _, werr := io.WriteString(i.out, screen); werr != nil {
		return werr
	}
	return err
}

// roomFor is how many members fit on a screen of so many rows, which is 0 if that
// is not known: besides them there are two lines above, one below, and the cursor's,
// and one to spare.
func roomFor(rows int) int {
	if rows == 0 {
		rows = 24
	}
	return max(1, rows-5)
}
