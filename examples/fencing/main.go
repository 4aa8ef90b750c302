// Fencing shows why a lock has tokens, and why the storage should check them.
//
// Process A takes the lock, reads a balance, makes sure that the lock is still
// its own, and is suspended (SIGSTOP) just before it writes: as happens to a
// virtual machine that is moved, a laptop that is closed, a process that swaps.
// Its lease runs out, and B gets the lock, as it must: it cannot be known whether
// A ever comes back. B deposits 50. Then A wakes up (SIGCONT) and writes what it
// had calculated long ago. No lock in the world can prevent that; a storage that
// refuses a token lower than the highest it has seen can.
//
//	go run ./examples/fencing                          # a queue in a directory
//	go run ./examples/fencing -redis localhost:6379    # a queue in Redis
//
// In a directory a suspended process keeps its place for as long as it lives,
// unless the queue was told otherwise (filequeue.WithStaleTimeout): -stale is that
// time here, as -lease is on Redis.
//
// Both are done to two storages at once, one that checks tokens and one that
// does not. It needs a system where processes can be suspended.
//
// Exit codes:
//
//	0  it went as told here
//	1  it did not, or could not be finished, or was interrupted
//	2  the arguments make no sense
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
)

const (
	atFirst  = 100
	depositA = 10
	depositB = 50
)

// runTimeout is how long the whole may take besides waiting for leases.
const runTimeout = time.Minute

func main() {
	if isWorker() {
		if err := work(); err != nil {
			fmt.Fprintln(os.Stderr, "fencing: worker:", err)
			os.Exit(cli.ExitFailed)
		}
		return
	}
	cli.Main("fencing", fencing)
}

func parse(args []string) (cli.Place, error) {
	var p cli.Place
	flags := cli.NewFlags("fencing", "[flags]")
	flags.Place(&p, false)
	flags.Lease(&p, 2*time.Second)
	flags.Duration(&p.Stale, "stale", 2*time.Second, "in a directory: the `time` that an owner may be silent before it loses its place")
	flags.Check(func() error {
		if p.Redis != "" && flags.Given("stale") {
			return errors.New("-stale is for a directory: give -lease with -redis")
		}
		return nil
	})
	return p, flags.Parse(args)
}

// silence is how long an owner may be silent before it loses its place.
func silence(p cli.Place) time.Duration {
	if p.Redis != "" {
		return p.Lease
	}
	return p.Stale
}

// fencing is the demonstration. It returns an error if it did not go as it
// should.
func fencing(ctx context.Context, args []string, out io.Writer) error {
	p, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, runTimeout+10*silence(p))
	defer cancel()
	_, remove, err := p.Own("fencing")
	if err != nil {
		return err
	}
	defer remove()
	if err := p.Reach(ctx); err != nil {
		return err
	}
	b := newBank(out)
	if err := b.play(ctx, p); err != nil {
		return err
	}
	return b.report()
}

// play is the schedule.
func (b *bank) play(ctx context.Context, p cli.Place) error {
	b.tell("the balance is %d; A is about to deposit %d, and B %d. The lease is %v.", atFirst, depositA, depositB, silence(p))
	a, err := b.start(order{"A", depositA, true, p})
	if err != nil {
		return err
	}
	defer a.kill()
	if err := a.waitForPause(ctx); err != nil {
		return err
	}
	if err := suspend(a.command.Process); err != nil {
		return fmt.Errorf("suspending A: %w", err)
	}
	b.tell("** A is SUSPENDED, between its last look at the lock and its write **")

	other, err := b.start(order{"B", depositB, false, p})
	if err != nil {
		return err
	}
	defer other.kill()
	if err := other.wait(ctx); err != nil {
		return err
	}

	b.tell("** A WAKES UP, and goes on where it was **")
	close(a.goOn)
	if err := resume(a.command.Process); err != nil {
		return fmt.Errorf("waking A up: %w", err)
	}
	return a.wait(ctx)
}

// storage keeps a balance.
type storage struct {
	checks  bool // refuses a token lower than the highest it has seen
	balance int
	highest int64
}

// admit is all there is to fencing. It is asked for reads, too: once the new
// holder has read, the old one must not write any more.
func (s *storage) admit(token int64) bool {
	if s.checks && token < s.highest {
		return false
	}
	s.highest = max(s.highest, token)
	return true
}

const (
	unchecked = iota // the storage that does not look at tokens
	checked          // the one that does
	storages
)

// bank has both storages, and writes down what is done to them.
type bank struct {
	began time.Time

	mu       sync.Mutex
	out      io.Writer
	storages [storages]storage
	journal  []entry
}

// entry is one attempt to write.
type entry struct {
	name    string // of the worker
	write   Write
	refused [storages]bool
}

func newBank(out io.Writer) *bank {
	b := &bank{out: out, began: time.Now()}
	b.storages[unchecked] = storage{balance: atFirst}
	b.storages[checked] = storage{balance: atFirst, checks: true}
	return b
}

func (b *bank) tell(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(b.out, "%6.2f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// Write is a worker's request to write a new balance into some storages.
type Write struct {
	Token   int64
	Into    [storages]bool
	Balance [storages]int
}

// worker is a process, seen from its parent.
type worker struct {
	command *exec.Cmd
	paused  chan struct{} // closed when it is about to write
	goOn    chan struct{} // closed to let it
	ended   chan struct{} // closed when it has exited
	err     error         // how; valid when ended is closed
}

// Teller is what a worker may ask of its parent.
type Teller struct {
	bank   *bank
	worker *worker
	name   string // of the worker
}

// Tell prints what the worker says.
func (t *Teller) Tell(text string, _ *bool) error {
	t.bank.tell("%s  %s", t.name, text)
	return nil
}

// Pause returns when the worker may go on.
func (t *Teller) Pause(bool, *bool) error {
	close(t.worker.paused)
	<-t.worker.goOn
	return nil
}

// Read returns the balances.
func (t *Teller) Read(token int64, balance *[storages]int) error {
	t.bank.mu.Lock()
	defer t.bank.mu.Unlock()
	for i := range t.bank.storages {
		s := &t.bank.storages[i]
		if !s.admit(token) {
			return fmt.Errorf("the storage has seen a higher token than %d", token)
		}
		balance[i] = s.balance
	}
	return nil
}

// Write writes new balances, and says which storages have refused.
func (t *Teller) Write(w Write, refused *[storages]bool) error {
	t.bank.mu.Lock()
	defer t.bank.mu.Unlock()
	for i := range t.bank.storages {
		switch s := &t.bank.storages[i]; {
		case !w.Into[i]:
		case s.admit(w.Token):
			s.balance = w.Balance[i]
		default:
			refused[i] = true
		}
	}
	t.bank.journal = append(t.bank.journal, entry{t.name, w, *refused})
	return nil
}

// orderVariable makes this program a worker; its value is an order.
const orderVariable = "FIFOLOCK_FENCING_ORDER"

// order is what the parent tells a worker to do.
type order struct {
	Name   string // of the worker
	Amount int    // to deposit
	Pause  bool   // before it writes
	Place  cli.Place
}

// start starts a worker and answers it.
func (b *bank) start(o order) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	w := &worker{
		command: exec.Command(self),
		paused:  make(chan struct{}),
		goOn:    make(chan struct{}),
		ended:   make(chan struct{}),
	}
	w.command.Env = append(os.Environ(), orderVariable+"="+string(text))
	w.command.Stderr = os.Stderr
	requests, err := w.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	answers, err := w.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	server := rpc.NewServer()
	if err := server.Register(&Teller{b, w, o.Name}); err != nil {
		return nil, err
	}
	if err := w.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		server.ServeConn(duplex{requests, answers})
		if err := w.command.Wait(); err != nil {
			w.err = fmt.Errorf("process %s: %w", o.Name, err)
		}
		close(w.ended)
	}()
	return w, nil
}

func (w *worker) waitForPause(ctx context.Context) error {
	select {
	case <-w.paused:
		return nil
	case <-w.ended:
		return errors.Join(w.err, errors.New("it ended before it was to be suspended"))
	case <-ctx.Done():
		return fmt.Errorf("not finished: %w", ctx.Err())
	}
}

// wait returns when the worker has done its work.
func (w *worker) wait(ctx context.Context) error {
	select {
	case <-w.ended:
		return w.err
	case <-ctx.Done():
		return fmt.Errorf("not finished: %w", ctx.Err())
	}
}

// kill ends the worker, suspended or not, and returns when it has ended.
func (w *worker) kill() {
	w.command.Process.Kill()
	select {
	case <-w.goOn:
	default:
		close(w.goOn)
	}
	<-w.ended
}

// duplex is a connection made of two pipes.
type duplex struct {
	io.Reader
	io.WriteCloser
}

func isWorker() bool { return os.Getenv(orderVariable) != "" }

// work is what a worker process does: a deposit into both storages, and again
// into those that have refused it.
func work() error {
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(orderVariable)), &o); err != nil {
		return err
	}
	q, closeQueue, err := o.Place.Open()
	if err != nil {
		return err
	}
	defer closeQueue()
	c := &client{amount: o.Amount, pause: o.Pause}
	c.mutex = lock.New(q, lock.WithTrace(&lock.Trace{Registered: c.registered}))
	c.bank = rpc.NewClient(duplex{os.Stdin, os.Stdout})
	defer c.bank.Close()
	for into := [storages]bool{true, true}; into != [storages]bool{}; {
		if into, err = c.deposit(context.Background(), into); err != nil {
			return err
		}
	}
	return nil
}

// client is a worker, seen from itself.
type client struct {
	bank   *rpc.Client
	mutex  *lock.Mutex
	amount int
	pause  bool
}

// deposit does what the lock is there for, and returns which storages have
// refused it. This is the usual way to use a lock, done with care; the error is
// not in here.
func (c *client) deposit(ctx context.Context, into [storages]bool) (refused [storages]bool, err error) {
	if err := c.mutex.Lock(ctx); err != nil {
		return refused, err
	}
	defer c.unlock()
	write := Write{Token: c.mutex.Token(), Into: into}
	c.tell("has the lock, with token %d", write.Token)
	if err := c.bank.Call("Teller.Read", write.Token, &write.Balance); err != nil {
		return refused, err
	}
	for i := range write.Balance {
		if into[i] {
			c.tell("reads %d from the %s: %d is to be written", write.Balance[i], titles[i], write.Balance[i]+c.amount)
		}
		write.Balance[i] += c.amount
	}
	select {
	case <-c.mutex.Lost():
		return into, nil // try again
	default:
		c.tell("has looked: the lock is still its own. Now it writes")
	}
	if c.pause {
		c.pause = false
		if err := c.bank.Call("Teller.Pause", true, nil); err != nil {
			return refused, err
		}
	}
	if err := c.bank.Call("Teller.Write", write, &refused); err != nil {
		return refused, err
	}
	for i, r := range refused {
		switch {
		case r:
			c.tell("is REFUSED by the %s, which has seen a higher token", titles[i])
		case into[i]:
			c.tell("has written %d into the %s", write.Balance[i], titles[i])
		}
	}
	return refused, nil
}

func (c *client) unlock() {
	if err := c.mutex.Unlock(); err != nil {
		c.tell("is told by Unlock, too late for a storage that does not check: %v", err)
		return
	}
	c.tell("has unlocked")
}

// registered is called by Lock when the ticket is in line.
func (c *client) registered(t queue.Ticket) {
	if t.Ahead > 0 {
		c.tell("waits for the lock")
	}
}

func (c *client) tell(format string, args ...any) {
	// If the parent is gone, the next call that matters will fail.
	c.bank.Call("Teller.Tell", fmt.Sprintf(format, args...), nil)
}

var titles = [storages]string{unchecked: "unchecked storage", checked: "checked storage"}

// report prints the end, and returns an error if it is not the right one.
func (b *bank) report() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintln(b.out)
	table := tabwriter.NewWriter(b.out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "\t%s\t%s\n", titles[unchecked], titles[checked])
	fmt.Fprintf(table, "at first\t%d\t%d\n", atFirst, atFirst)
	for _, e := range b.journal {
		fmt.Fprintf(table, "%s writes with token %d\t%s\t%s\n", e.name, e.write.Token, e.outcome(unchecked), e.outcome(checked))
	}
	const right = atFirst + depositA + depositB
	fmt.Fprintf(table, "in the end\t%d\t%d\n", b.storages[unchecked].balance, b.storages[checked].balance)
	fmt.Fprintf(table, "right would be\t%d\t%d\n", right, right)
	fmt.Fprintf(table, "\t%s\t%s\n", verdict(right-b.storages[unchecked].balance), verdict(right-b.storages[checked].balance))
	if err := table.Flush(); err != nil {
		return err
	}
	if b.storages[checked].balance != right || b.storages[unchecked].balance == right {
		return errors.New("that is not as it should be: A was not too late, or the check has failed")
	}
	return nil
}

func (e entry) outcome(i int) string {
	switch {
	case !e.write.Into[i]:
		return ""
	case e.refused[i]:
		return "refused"
	}
	return fmt.Sprint(e.write.Balance[i])
}

func verdict(lost int) string {
	if lost == 0 {
		return "RIGHT"
	}
	return fmt.Sprintf("WRONG: %d lost", lost)
}
