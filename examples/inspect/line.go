package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/queue"
)

// line is what was in line at some time, and the form of the JSON.
type line struct {
	Queue   string    `json:"queue"`
	Time    time.Time `json:"time"`
	Members []member  `json:"members"`

	missing bool // the directory is not there
}

type member struct {
	Place    int       `json:"place"` // 1 is the first
	Token    int64     `json:"token"`
	Owns     bool      `json:"owns"`
	Max      int       `json:"max,omitzero"` // of a semaphore: it owns when fewer than so many are before it
	Dead     bool      `json:"dead"`
	Host     string    `json:"host,omitzero"`
	PID      int       `json:"pid,omitzero"`
	Label    string    `json:"label,omitzero"`
	Since    time.Time `json:"since,omitzero"`
	LastSeen time.Time `json:"last_seen,omitzero"`
	Lease    seconds   `json:"lease_seconds,omitzero"`           // it is believed for so long
	Crash    seconds   `json:"crash_detection_seconds,omitzero"` // or for so long after the end of its process

	Unseen bool      `json:"unseen,omitzero"` // crash detection was asked for, and does not work
	Gone   time.Time `json:"gone,omitzero"`   // its process was noticed to have ended

	ticket queue.Ticket
}

func (i *inspector) look(ctx context.Context) (line, error) {
	var found []queue.Member
	err := i.ask(ctx, func(ctx context.Context) (err error) {
		found, err = queue.Members(ctx, i.queue)
		return err
	})
	if err != nil {
		return line{}, err
	}
	l := line{Queue: i.place.File + i.place.Name, Time: time.Now(), Members: make([]member, len(found))}
	for place, m := range found {
		l.Members[place] = member{
			Place: place + 1, Token: m.Ticket.Number, Owns: m.Owns(), Max: m.Owners, Dead: m.Dead,
			Host: m.Host, PID: m.PID, Label: m.Label, Since: m.Since, LastSeen: m.LastSeen,
			Lease: seconds(m.Ticket.Lease), Crash: seconds(m.CrashDetection), Unseen: m.Unseen, Gone: m.Gone, ticket: m.Ticket,
		}
	}
	if i.place.File != "" {
		_, err := os.Lstat(i.place.File)
		l.missing = errors.Is(err, fs.ErrNotExist)
	}
	return l, nil
}

// ask calls f, which asks the storage. It says of an error what its user can do.
func (i *inspector) ask(ctx context.Context, f func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err := f(limited)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && i.place.Redis != "":
		return fmt.Errorf("no answer within %v: the server is stopped, overloaded or unreachable: %w", answerTimeout, err)
	case errors.Is(err, fs.ErrPermission) && i.place.File != "":
		return fmt.Errorf("run inspect as the user of the queue, or as root: %w", err)
	}
	return err
}

func (l line) writeJSON(out io.Writer) error {
	return json.NewEncoder(out).Encode(l)
}

// writeTable shows the line, and no more than so many of those in it.
func (l line) writeTable(out io.Writer, most int) error {
	fmt.Fprintf(out, "%s  %s: %s\n", l.Time.Format(time.TimeOnly), l.Queue, l.summary())
	if len(l.Members) > 0 {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "PLACE\tTOKEN\tHOST\tPID\tLABEL\tSINCE\tLAST SEEN\tLEASE\t")
		for _, m := range l.Members[:min(most, len(l.Members))] {
			fmt.Fprintf(table, "%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Place, m.Token, cli.Printable(m.Host), pid(m.PID),
				cli.Printable(m.Label), ago(l.Time, m.Since), ago(l.Time, m.LastSeen), m.lease(), l.remark(m))
		}
		table.Flush()
	}
	if more := len(l.Members) - most; more > 0 {
		fmt.Fprintf(out, "... and %d more", more)
	}
	_, err := fmt.Fprintln(out)
	return err
}

// summary says how the lock is doing.
func (l line) summary() string {
	owners, dead := 0, 0
	for _, m := range l.Members {
		if m.Owns {
			owners++
		}
		if m.Dead {
			dead++
		}
	}
	waiting := len(l.Members) - owners - dead
	switch {
	case len(l.Members) == 0 && l.missing:
		return "free, none in line: there is no such directory (a mistyped name looks the same)"
	case len(l.Members) == 0:
		return "free, none in line"
	case owners == 0:
		return fmt.Sprintf("the holder looks dead, and %d in line after it", waiting)
	}
	text := "held"
	if l.Members[0].Max > 0 {
		text = fmt.Sprintf("a semaphore, held by %d", owners)
	}
	if dead > 0 {
		text += fmt.Sprintf(", %d look dead", dead)
	}
	return fmt.Sprintf("%s, and %d waiting", text, waiting)
}

func (l line) remark(m member) string {
	switch {
	case m.Dead:
		return "looks dead: evicted when the next one looks"
	case !m.Gone.IsZero():
		return fmt.Sprintf("its process has ended, or has lost its connection, %s: evicted if it stays so", ago(l.Time, m.Gone))
	case m.Owns && m.Max > 0:
		return fmt.Sprintf("holds one of %d", m.Max)
	case m.Owns:
		return "holds the lock"
	case m.Max > 0:
		return fmt.Sprintf("waits for one of %d", m.Max)
	}
	return ""
}

// lease says how long the ticket is believed without a sign of life, and after the
// end of its process if that is known sooner. It is empty where the kernel says it.
func (m member) lease() string {
	switch {
	case m.Lease == 0:
		return ""
	case m.Crash > 0:
		return fmt.Sprintf("%v, crash %v", time.Duration(m.Lease), time.Duration(m.Crash))
	case m.Unseen:
		return fmt.Sprintf("%v, crash detection does not work", time.Duration(m.Lease))
	}
	return time.Duration(m.Lease).String()
}

// seconds is a time that JSON has as a number of seconds.
type seconds time.Duration

func (s seconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(s).Seconds())
}

func pid(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// ago is the time from then to now. Two clocks may differ a little, so that it
// is never below 0.
func ago(now, then time.Time) string {
	if then.IsZero() {
		return ""
	}
	return fmt.Sprintf("%v ago", max(0, now.Sub(then)).Round(100*time.Millisecond))
}
