package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/queue"
)

// evict takes a ticket out of the line, if that is what its user wants.
func (i *inspector) evict(ctx context.Context, in io.Reader) error {
	l, err := i.look(ctx)
	if err != nil {
		return err
	}
	if err := l.writeTable(i.out, len(l.Members)); err != nil {
		return err
	}
	at := slices.IndexFunc(l.Members, func(m member) bool { return m.Token == i.settings.evict })
	if at < 0 {
		return fmt.Errorf("there is no ticket %d in line", i.settings.evict)
	}
	m := l.Members[at]
	fmt.Fprintf(i.out, "%s\nTake ticket %d of %s out of the line? Type yes to do so: ", m.consequence(), m.Token, m.owner())
	if !confirmed(ctx, in) {
		return errors.New("nothing was evicted: the answer was not yes")
	}
	return i.remove(ctx, m)
}

func (i *inspector) remove(ctx context.Context, m member) error {
	q := i.queue
	if m.Max > 0 {
		var err error
		if q, err = queue.Share(q, m.Max); err != nil {
			return err
		}
	}
	err := i.ask(ctx, func(ctx context.Context) error { return queue.Release(ctx, q, m.ticket) })
	if errors.Is(err, queue.ErrNotQueued) {
		return fmt.Errorf("ticket %d has left the line by itself meanwhile", m.Token)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(i.out, "Ticket %d is out of the line.\n", m.Token)
	return err
}

// consequence says what it does to evict the ticket.
func (m member) consequence() string {
	switch {
	case m.Dead:
		return "Its owner looks dead: the next process that comes or waits evicts it without your help."
	case m.Owns:
		what, release := "the lock", "Unlock"
		if m.Max > 0 {
			what, release = fmt.Sprintf("one of %d permits", m.Max), "Release"
		}
		return fmt.Sprintf("It holds %s, which the next in line gets at once. Its owner is not stopped: it hears of\n"+
			"it by Lost, within %v, and from %s, and works beside the next one until it has heard\n"+
			"and has stopped. To end the process is better, if you can: the ticket goes with it.", what, m.heartbeat(), release)
	}
	return "It waits. Its owner takes a new ticket, at the end of the line, when it finds this one gone."
}

// heartbeat is how often the owner looks whether it still has its ticket: three
// times in a lease, and every 10 s without one.
func (m member) heartbeat() time.Duration {
	if m.ticket.Lease > 0 {
		return m.ticket.Lease / 3
	}
	return 10 * time.Second
}

// owner says whose ticket it is, as far as is known.
func (m member) owner() string {
	where := []string{}
	if m.Host != "" {
		where = append(where, cli.Printable(m.Host))
	}
	if m.PID != 0 {
		where = append(where, "pid "+pid(m.PID))
	}
	switch at := strings.Join(where, ", "); {
	case m.Label != "" && at != "":
		return fmt.Sprintf("%s (%s)", cli.Printable(m.Label), at)
	case m.Label+at != "":
		return cli.Printable(m.Label) + at
	}
	return "an unknown owner"
}

// confirmed reports whether the answer is yes; there is none when ctx ends first.
func confirmed(ctx context.Context, in io.Reader) bool {
	answer := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(in).ReadString('\n')
		answer <- strings.TrimSpace(text)
	}()
	select {
	case text := <-answer:
		return text == "yes"
	case <-ctx.Done():
		return false
	}
}
