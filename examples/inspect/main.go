// Inspect shows who holds a lock and who waits for it: place in line, fencing
// token, host and pid, since when, and when it last showed that it is alive. It
// stands in no line itself, evicts nobody and creates nothing.
//
//	go run ./examples/inspect -file /tmp/report
//	go run ./examples/inspect -redis localhost:6379 -name report
//	go run ./examples/inspect -file /tmp/report -watch 1s     # again every second, until Ctrl-C
//	go run ./examples/inspect -file /tmp/report -json         # one JSON object a line
//	go run ./examples/inspect -file /tmp/report -watch 1s -for 1m
//
// A queue is there only while somebody is in line; so a name that nobody has
// ever used looks like a lock that is free.
//
// Times are by the clock of the storage: the Redis server, the file system. A
// holder that looks dead is evicted by the next one who comes or waits. LAST
// SEEN is empty where nothing is to be seen: the holder of a lock in a file
// system need not show anything, the kernel says whether it is alive.
//
// Exit code 1 says that the queue could not be read, also in the end of -watch
// if it could not be read the last time.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// patience is how long the storage may take to answer.
const patience = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := inspect(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "inspect:", err)
		os.Exit(1)
	}
}

func inspect(ctx context.Context, args []string, out io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	q, closeQueue, err := s.openQueue()
	if err != nil {
		return err
	}
	defer closeQueue()
	show := showTable
	if s.json {
		show = showJSON
	}
	if s.watch == 0 {
		return look(ctx, q, s, out, show)
	}
	if s.lifetime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.lifetime)
		defer cancel()
	}
	return watch(ctx, s.watch, func() error { return look(ctx, q, s, out, show) })
}

// settings are what the arguments say.
type settings struct {
	file, redis, name string
	watch, lifetime   time.Duration
	json              bool
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("inspect", flag.ContinueOnError)
	flags.StringVar(&s.file, "file", "", "the `directory` of the queue")
	flags.StringVar(&s.redis, "redis", "", "the `host:port` or redis:// URL of the Redis server that has the queue")
	flags.StringVar(&s.name, "name", "", "the `name` of the lock in Redis")
	flags.DurationVar(&s.watch, "watch", 0, "look again after this time, until interrupted")
	flags.DurationVar(&s.lifetime, "for", 0, "with -watch: end after this time; 0 is when interrupted")
	flags.BoolVar(&s.json, "json", false, "print JSON, one object a line")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	return s, s.check(flags.Args())
}

func (s settings) check(surplus []string) error {
	switch {
	case len(surplus) > 0:
		return fmt.Errorf("unexpected argument %q", surplus[0])
	case (s.file == "") == (s.redis == ""):
		return errors.New("say where the lock is, with either -file or -redis")
	case s.redis != "" && s.name == "":
		return errors.New("say which lock it is with -name")
	case s.file != "" && s.name != "":
		return errors.New("-name is for -redis; a lock in a file system is named by its directory")
	case s.watch < 0 || s.lifetime < 0:
		return errors.New("-watch and -for must be above 0")
	case s.lifetime > 0 && s.watch == 0:
		return errors.New("-for is for -watch")
	}
	return nil
}

// openQueue returns the queue, and what closes its connections.
func (s settings) openQueue() (q queue.TicketQueue, closeQueue func(), err error) {
	if s.file != "" {
		return filequeue.New(s.file), func() {}, nil
	}
	options := &redis.Options{Addr: s.redis}
	if strings.Contains(s.redis, "://") {
		if options, err = redis.ParseURL(s.redis); err != nil {
			return nil, nil, fmt.Errorf("-redis: %w", err)
		}
	}
	logging.Disable() // what it would print on stderr is in the errors, too
	client := redis.NewClient(options)
	return redisqueue.New(client, s.name), func() { client.Close() }, nil
}

// watch looks again and again until ctx ends. What fails once may work the next
// time: a server that is started again, say.
func watch(ctx context.Context, interval time.Duration, look func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := look()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "inspect:", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// line is who was in line at some time, and the form of the JSON.
type line struct {
	Queue   string    `json:"queue"`
	Time    time.Time `json:"time"`
	Members []member  `json:"members"`
}

type member struct {
	Place    int       `json:"place"` // 1 is the holder
	Token    int64     `json:"token"`
	Host     string    `json:"host,omitzero"`
	PID      int       `json:"pid,omitzero"`
	Since    time.Time `json:"since,omitzero"`
	LastSeen time.Time `json:"last_seen,omitzero"`
	Dead     bool      `json:"dead"`
}

func look(ctx context.Context, q queue.TicketQueue, s settings, out io.Writer, show func(io.Writer, line) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := queue.Members(ctx, q)
	if err != nil {
		return err
	}
	l := line{Queue: s.file + s.name, Time: time.Now(), Members: make([]member, len(found))}
	for i, m := range found {
		l.Members[i] = member{i + 1, m.Ticket.Number, m.Host, m.PID, m.Since, m.LastSeen, m.Dead}
	}
	return show(out, l)
}

func showJSON(out io.Writer, l line) error {
	return json.NewEncoder(out).Encode(l)
}

func showTable(out io.Writer, l line) error {
	fmt.Fprintf(out, "%s  %s: %s\n", l.Time.Format(time.TimeOnly), l.Queue, summary(l.Members))
	if len(l.Members) > 0 {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "PLACE\tTOKEN\tHOST\tPID\tSINCE\tLAST SEEN\t")
		for _, m := range l.Members {
			fmt.Fprintf(table, "%d\t%d\t%s\t%s\t%s\t%s\t%s\n", m.Place, m.Token, m.Host, pid(m.PID),
				ago(l.Time, m.Since), ago(l.Time, m.LastSeen), remark(m))
		}
		table.Flush()
	}
	_, err := fmt.Fprintln(out)
	return err
}

// summary says how the lock is doing.
func summary(members []member) string {
	switch {
	case len(members) == 0:
		return "free, nobody is in line"
	case members[0].Dead:
		return fmt.Sprintf("the holder looks dead, and %d in line after it", len(members)-1)
	}
	return fmt.Sprintf("held, and %d waiting", len(members)-1)
}

func remark(m member) string {
	switch {
	case m.Dead:
		return "looks dead: evicted when the next one looks"
	case m.Place == 1:
		return "holds the lock"
	}
	return ""
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
