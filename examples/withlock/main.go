// Withlock runs a command while it holds a lock, in the manner of flock(1), but
// between machines too, and in the order of arrival.
//
//	go run ./examples/withlock -file /tmp/report -- make report
//	go run ./examples/withlock -redis localhost:6379 -name report -- make report
//	go run ./examples/withlock -file /tmp/report -wait 30s -- make report
//	go run ./examples/withlock -file /tmp/report -try -- make report
//
// While it waits it shows its place in line on stderr: the holder is the 1st.
//
// The command finds the fencing token of the lock in FIFOLOCK_TOKEN. SIGINT,
// SIGTERM and SIGHUP are passed on to it; one that comes while withlock still
// waits makes it leave the line. (Ctrl-C on a terminal goes to the command
// without our help, and is not passed on a second time.)
//
// If the lock is lost, which on Redis happens when the server cannot be reached
// for the length of a lease, the command gets SIGTERM, and SIGKILL after the
// time of -grace. On Linux it is killed, too, when withlock itself is. What the
// command has started in turn gets none of these signals: it is the command's to
// end, and runs on without the lock otherwise.
//
// Exit codes:
//
//	64   the arguments make no sense
//	70   the queue cannot be used, or the lock was lost
//	75   the lock was not to be had: -try, or -wait is over
//	126  the command cannot be run
//	127  there is no such command
//
// Any other is the command's; 128+n if signal n ended it, or withlock while it
// waited.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

const (
	exitUsage       = 64 // as in sysexits.h
	exitFailed      = 70
	exitNotAcquired = 75
	exitCannotRun   = 126 // as in a shell
	exitNotFound    = 127
	exitSignal      = 128 // plus the signal
)

func main() {
	code, err := withlock(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "withlock:", err)
	}
	os.Exit(code)
}

// withlock returns the exit code, and what there is to say about it.
func withlock(args []string) (int, error) {
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return exitUsage, err
	}
	// Found out now, not after an hour in line.
	if code, err := findCommand(s.command[0]); err != nil {
		return code, err
	}
	q, closeQueue, err := s.openQueue()
	if err != nil {
		return exitUsage, err
	}
	defer closeQueue()

	signals := catchSignals()
	p := newProgress(os.Stderr)
	m := lock.New(q, lock.WithTrace(p.trace()))
	code, err := acquire(m, s, signals)
	p.end()
	if err != nil {
		return code, err
	}
	code, err = execute(m, s, signals)
	return release(m, code, err)
}

// settings are what the arguments say.
type settings struct {
	file, redis, name  string
	lease, wait, grace time.Duration
	try                bool
	command            []string
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("withlock", flag.ContinueOnError)
	flags.StringVar(&s.file, "file", "", "keep the queue in this `directory`")
	flags.StringVar(&s.redis, "redis", "", "keep the queue in the Redis server at this `host:port` or redis:// URL")
	flags.StringVar(&s.name, "name", "", "the `name` of the lock in Redis")
	flags.DurationVar(&s.lease, "lease", 30*time.Second, "how long Redis keeps the place of a process that has fallen silent")
	flags.DurationVar(&s.wait, "wait", 0, "wait no longer than this; 0 is without limit")
	flags.BoolVar(&s.try, "try", false, "do not wait if somebody holds the lock or waits for it")
	flags.DurationVar(&s.grace, "grace", 10*time.Second, "when the lock is lost, how long the command may take to end by itself")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: withlock -file DIR | -redis ADDR -name NAME [flags] -- command [arguments]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.command = flags.Args()
	return s, s.check()
}

func (s settings) check() error {
	switch {
	case (s.file == "") == (s.redis == ""):
		return errors.New("say where the lock is, with either -file or -redis")
	case s.redis != "" && s.name == "":
		return errors.New("say which lock it is with -name")
	case s.file != "" && s.name != "":
		return errors.New("-name is for -redis; a lock in a file system is named by its directory")
	case s.try && s.wait != 0:
		return errors.New("-try does not wait: leave out -wait")
	case s.wait < 0 || s.grace <= 0:
		return errors.New("-wait and -grace must be above 0")
	case len(s.command) == 0:
		return errors.New("say what to run, after --")
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
	q = redisqueue.New(client, s.name, redisqueue.WithLease(s.lease))
	return q, func() { client.Close() }, nil
}

func findCommand(name string) (int, error) {
	_, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exitNotFound, err
	}
	return exitCannotRun, err // if err is not nil: a directory, or not executable
}

// catchSignals catches what is passed on, but not what was ignored when this
// program was started, as SIGHUP is under nohup.
func catchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 8)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals
}

// caught is the end of a wait by a signal.
type caught struct{ signal os.Signal }

func (c caught) Error() string { return c.signal.String() }

func (c caught) exitCode() int {
	number, _ := c.signal.(syscall.Signal)
	return exitSignal + int(number)
}

// acquire takes the lock. It returns an exit code with every error.
func acquire(m *lock.Mutex, s settings, signals <-chan os.Signal) (int, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if s.wait > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, s.wait)
		defer stop()
	}
	forget := onSignal(signals, func(signal os.Signal) { cancel(caught{signal}) })
	err := lockOrTry(ctx, m, s.try)
	forget()

	var c caught
	switch {
	case errors.As(context.Cause(ctx), &c):
		if err == nil { // both at once
			err = errors.Join(c, m.Unlock())
		}
		return c.exitCode(), err
	case errors.Is(err, errBusy), errors.Is(err, context.DeadlineExceeded):
		return exitNotAcquired, err
	}
	return exitFailed, err
}

var errBusy = errors.New("somebody holds the lock or waits for it")

func lockOrTry(ctx context.Context, m *lock.Mutex, try bool) error {
	if !try {
		return m.Lock(ctx)
	}
	ok, err := m.TryLock(ctx)
	if err == nil && !ok {
		err = errBusy
	}
	return err
}

// onSignal calls f for every signal, until the function that it returns is
// called and has returned.
func onSignal(signals <-chan os.Signal, f func(os.Signal)) (forget func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case s := <-signals:
				f(s)
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// execute runs the command and returns its exit code.
func execute(m *lock.Mutex, s settings, signals <-chan os.Signal) (int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-m.Lost():
			fmt.Fprintln(os.Stderr, "withlock: the lock was lost: the command is ended")
			cancel()
		case <-ctx.Done():
		}
	}()

	command := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), fmt.Sprintf("FIFOLOCK_TOKEN=%d", m.Token()))
	command.Cancel = func() error { return terminate(command.Process) }
	command.WaitDelay = s.grace
	dieWithUs(command)
	if err := command.Start(); err != nil {
		return exitCannotRun, err
	}
	forget := onSignal(signals, func(signal os.Signal) {
		// Many programs take a second SIGINT for an order to end at once, so
		// that the command must not get one from the terminal and one from us.
		if signal != os.Interrupt || !inForeground() {
			command.Process.Signal(signal) // if it has ended meanwhile, there is nobody to tell
		}
	})
	defer forget()
	command.Wait() // how it ended is in its state
	return exitCodeOf(command.ProcessState)
}

// terminate asks a process to end; where one cannot ask, it ends it.
func terminate(p *os.Process) error {
	err := p.Signal(syscall.SIGTERM)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return p.Kill()
	}
	return err
}

func exitCodeOf(state *os.ProcessState) (int, error) {
	if state == nil {
		return exitFailed, errors.New("it is not known how the command ended")
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitSignal + int(status.Signal()), nil
	}
	return state.ExitCode(), nil
}

// release releases the lock after the command has ended with that code.
func release(m *lock.Mutex, code int, err error) (int, error) {
	unlockErr := m.Unlock()
	if errors.Is(unlockErr, lock.ErrLost) {
		return exitFailed, fmt.Errorf("another one may have run beside the command: check what it did: %w", unlockErr)
	}
	// Any other error says nothing about the time when the command ran.
	return code, errors.Join(err, unlockErr)
}

// progress shows the place in line: on a terminal in one line that is updated,
// elsewhere in a new line when it changes.
type progress struct {
	out      io.Writer
	terminal bool
	began    time.Time
	places   chan int
	ended    chan struct{}
}

func newProgress(out *os.File) *progress {
	info, err := out.Stat()
	p := &progress{
		out:      out,
		terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
		began:    time.Now(),
		places:   make(chan int),
		ended:    make(chan struct{}),
	}
	go p.run()
	return p
}

// trace returns the hooks that say where in line a ticket is.
func (p *progress) trace() *lock.Trace {
	return &lock.Trace{
		Registered: func(t queue.Ticket) { p.places <- t.Ahead + 1 },
		Waiting:    func(_ queue.Ticket, ahead int) { p.places <- ahead + 1 },
	}
}

// end is called when the waiting is over: no hook is called after that.
func (p *progress) end() {
	close(p.places)
	<-p.ended
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
				if shown {
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
		if place > 1 {
			p.show(place)
			shown = true
		}
	}
}

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
