//go:build linux

package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

// config is what a worker is told when it starts.
type config struct {
	Number   int // of the worker; also its slot
	Spec     Spec
	Seed     uint64 // of its chance
	Shared   string // path of the occupancy's memory
	Counter  string // path of the counter
	Resource string // path of the resource's socket

	Section time.Duration // how long a section of run lasts at most
	Gap     time.Duration // how long run waits at most before it comes again
}

// Worker is this process in the role of a worker: what a Command sees of it.
type Worker struct {
	Queue  queue.TicketQueue
	Mutex  *lock.Mutex
	Random *rand.Rand // goroutines may share it

	config    config
	occupancy *occupancy
	resource  *resourceClient
	stopping  chan struct{} // closed by the command stop

	mu    sync.Mutex
	out   io.Writer
	calls map[int64]context.CancelFunc // of Lock, under way
	last  int64                        // call that has begun
	hold  hold                         // of the command lock
}

// hold is one time of owning the lock.
type hold struct {
	call, ticket int64
	over         chan struct{} // closed before Unlock; nil when there is no hold
}

// Command is something a worker can be told to do. What it returns is told as
// an event of the kind Said.
type Command func(w *Worker, args []string) error

// pauseAfterFailure keeps run from being a busy loop while the backend is down.
const pauseAfterFailure = 5 * time.Millisecond

// runWorker obeys the commands on stdin until it ends.
func runWorker(c config, commands map[string]Command) error {
	// Else the runtime reads the limits of its cgroup once a second, by pread64, and a
	// test that stops the worker at each system call of the queue stops it there too,
	// while the queue is in a call of another thread.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	occupancy, err := openOccupancy(c.Shared)
	if err != nil {
		return err
	}
	resource, err := dialResource(c.Resource)
	if err != nil {
		return err
	}
	q, closeQueue := c.Spec.Open()
	defer closeQueue()
	w := &Worker{
		Random: newRandom(c.Seed, 0), config: c, occupancy: occupancy, resource: resource, out: os.Stdout,
		calls: make(map[int64]context.CancelFunc), stopping: make(chan struct{}),
	}
	told := noted{q.(full), w.registered}
	w.Queue = told
	if c.Spec.Deaf {
		w.Queue = deaf{told}
	}
	w.Mutex = lock.New(w.Queue, c.Spec.mutexOptions()...)
	if c.Spec.Leased() {
		go occupancy.slots[c.Number].pulse.beat()
	}
	w.emit(Event{Kind: Ready})
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fields := strings.Fields(in.Text())
		if err := w.obey(fields[0], fields[1:], commands); err != nil {
			w.emit(Event{Kind: Said, Text: fields[0], Cause: causeOf(err), Error: err.Error()})
		}
	}
	return in.Err()
}

func (w *Worker) obey(verb string, args []string, commands map[string]Command) error {
	numbers := make([]int64, 2)
	for i := range min(len(args), len(numbers)) {
		numbers[i], _ = strconv.ParseInt(args[i], 10, 64) // a Command's own are no numbers
	}
	switch verb {
	case "lock": // with the call's number and its timeout in nanoseconds, 0 for none
		w.begin(numbers[0], time.Duration(numbers[1]), w.lockAndEnter)
	case "try":
		w.begin(numbers[0], time.Duration(numbers[1]), w.tryAndEnter)
	case "cancel":
		return w.cancel(numbers[0])
	case "write":
		_, err := w.write(w.current(), 0)
		return err
	case "unlock":
		return w.leave()
	case "run": // with the number of goroutines and of the sections of each, 0 for no end
		go w.run(int(numbers[0]), int(numbers[1]))
	case "stop":
		close(w.stopping)
	default:
		command, ok := commands[verb]
		if !ok {
			return fmt.Errorf("no such command: %s", verb)
		}
		return command(w, args)
	}
	return nil
}

// emit tells an event. What was told has left the process when emit returns: it
// survives a kill.
func (w *Worker) emit(e Event) {
	if e.At == 0 {
		e.At = Now()
	}
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.out.Write(append(line, '\n')); err != nil {
		os.Exit(1) // the test is over
	}
}

// Say tells something to the test.
func (w *Worker) Say(format string, args ...any) {
	w.emit(Event{Kind: Said, Text: fmt.Sprintf(format, args...)})
}

func (w *Worker) registered(call int64, t queue.Ticket) {
	w.emit(Event{Kind: Registered, Call: call, Ticket: t.Number})
}

// begin makes a call in a goroutine of its own.
func (w *Worker) begin(call int64, timeout time.Duration, f func(ctx context.Context, call int64)) {
	ctx, cancel := context.WithCancel(context.Background())
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), timeout)
	}
	w.mu.Lock()
	w.calls[call] = cancel
	w.last = max(w.last, call)
	w.mu.Unlock()
	go f(ctx, call)
}

func (w *Worker) cancel(call int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	cancel, ok := w.calls[call]
	if !ok {
		return fmt.Errorf("no call %d", call)
	}
	cancel()
	return nil
}

func (w *Worker) lockAndEnter(ctx context.Context, call int64) { _ = w.lock(ctx, call) }

func (w *Worker) tryAndEnter(ctx context.Context, call int64) {
	w.emit(Event{Kind: Called, Call: call})
	ok, err := w.Mutex.TryLock(context.WithValue(ctx, callKey{}, call))
	switch {
	case err != nil:
		w.emit(Event{Kind: Cancelled, Call: call, Cause: causeOf(err), Error: textOf(err)})
	case !ok:
		w.emit(Event{Kind: Busy, Call: call})
	default:
		w.enter(call)
	}
}

// lock is Lock and the beginning of the critical section, with what it does told.
func (w *Worker) lock(ctx context.Context, call int64) error {
	w.emit(Event{Kind: Called, Call: call})
	err := w.Mutex.Lock(context.WithValue(ctx, callKey{}, call))
	if err != nil {
		w.emit(Event{Kind: Cancelled, Call: call, Cause: causeOf(err), Error: textOf(err)})
		return err
	}
	w.enter(call)
	return nil
}

// enter is the beginning of the critical section. When it tells that the lock
// was granted, the worker is ready for what is done in the section.
func (w *Worker) enter(call int64) {
	granted := Now()
	h := hold{call: call, ticket: w.Mutex.Token(), over: make(chan struct{})}
	for _, other := range w.occupancy.enter(w.config.Number, h.ticket) {
		w.emit(Event{Kind: Met, Call: call, Ticket: h.ticket, Other: other})
	}
	w.mu.Lock()
	w.hold = h
	w.mu.Unlock()
	w.emit(Event{At: granted, Kind: Granted, Call: call, Ticket: h.ticket})
	go func(lost <-chan struct{}) {
		select {
		case <-lost:
			w.emit(Event{Kind: Lost, Call: call, Ticket: h.ticket})
		case <-h.over:
		}
	}(w.Mutex.Lost())
}

// current is the hold that there is now.
func (w *Worker) current() hold {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hold
}

// write is what is done in the section: count up, and write to the resource.
func (w *Worker) write(h hold, pause time.Duration) (stale bool, err error) {
	request := resourceRequest{
		Worker: w.config.Number,
		Owner:  fmt.Sprintf("%d/%d", w.config.Number, h.call),
		Token:  h.ticket,
	}
	reply, err := w.resource.ask(request)
	if err != nil {
		return false, err
	}
	if err := countUp(w.config.Counter, pause); err != nil {
		return false, err
	}
	if !reply.Stale {
		request.Write, request.Value = true, reply.Value+1
		if reply, err = w.resource.ask(request); err != nil {
			return false, err
		}
	}
	w.emit(Event{Kind: Wrote, Call: h.call, Ticket: h.ticket, Stale: reply.Stale})
	return reply.Stale, nil
}

// leave is the end of the critical section.
func (w *Worker) leave() error {
	w.mu.Lock()
	h := w.hold
	w.hold = hold{}
	w.mu.Unlock()
	if h.over != nil {
		close(h.over)
		w.occupancy.leave(w.config.Number)
	}
	w.emit(Event{Kind: Releasing, Call: h.call, Ticket: h.ticket})
	err := w.Mutex.Unlock()
	w.emit(Event{Kind: Released, Call: h.call, Ticket: h.ticket, Cause: causeOf(err), Error: textOf(err)})
	return nil // it has been told
}

// run goes through the section again and again, in so many goroutines.
func (w *Worker) run(goroutines, sections int) {
	var all sync.WaitGroup
	errs := make(chan error, goroutines)
	for range goroutines {
		all.Go(func() { errs <- w.sections(sections) })
	}
	all.Wait()
	close(errs)
	var err error
	for e := range errs {
		err = errors.Join(err, e)
	}
	w.emit(Event{Kind: Done, Cause: causeOf(err), Error: textOf(err)})
}

func (w *Worker) sections(n int) error {
	for i := 0; n == 0 || i < n; {
		select {
		case <-w.stopping:
			return nil
		default:
		}
		ok, err := w.section()
		if err != nil {
			return err
		}
		if ok {
			i++
		} else {
			time.Sleep(pauseAfterFailure)
		}
		if w.config.Gap > 0 {
			time.Sleep(Below(w.Random, w.config.Gap))
		}
	}
	return nil
}

// section goes through the section once. It reports false if Lock has failed,
// and an error if it cannot do its part of the test.
func (w *Worker) section() (bool, error) {
	w.mu.Lock()
	w.last++
	call := w.last
	w.mu.Unlock()
	if err := w.lock(context.Background(), call); err != nil {
		return false, nil // it has been told
	}
	pause := time.Duration(0)
	if w.config.Section > 0 {
		pause = Below(w.Random, w.config.Section)
	}
	_, err := w.write(w.current(), pause)
	return true, errors.Join(err, w.leave())
}
