package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// variable has the order of a process that this program has started of itself.
const variable = "FIFOLOCK_BENCHMARK_WORKER"

// What a worker can be told to do.
const (
	contend = "contend" // do its part of a Plan
	hold    = "hold"    // take the lock and keep it until it is killed
	idle    = "idle"    // wait for some time, with goroutines
)

// order is what a worker is told to do.
type order struct {
	Job     string
	Peer    string
	Site    peer.Site
	Options peer.Options
	Plan    Plan
}

// BeWorker does what this process was started for, if it is a worker, and does
// not return then. main and TestMain call it first.
func BeWorker() {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	if err := obey(text, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func obey(text string, in io.Reader, out io.Writer) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	p, err := peer.Find(o.Peer)
	if err != nil {
		return err
	}
	ctx := context.Background()
	lock, err := p.Open(ctx, o.Site, o.Options)
	if err != nil {
		return err
	}
	switch o.Job {
	case contend:
		err = obeyContend(ctx, lock, o.Plan, bufio.NewReader(in), out)
	case hold:
		err = obeyHold(ctx, lock, out)
	case idle:
		_, err = MeasureIdle(ctx, lock, o.Plan.Waiters, o.Plan.WarmUp, o.Plan.Measure, func() error { return nil })
	default:
		err = fmt.Errorf("no job %q", o.Job)
	}
	return errors.Join(err, lock.Close())
}

// obeyContend says when it is ready, is told when to begin, and sends its Run. Then it
// waits for its end with everything connected: a server that has a process for each
// connection has its processor time only until the connection ends.
func obeyContend(ctx context.Context, lock *peer.Lock, plan Plan, in *bufio.Reader, out io.Writer) error {
	c, err := assemble(ctx, lock, plan)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	line, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	start, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return err
	}
	r, err := c.run(ctx, start)
	if err != nil {
		return err
	}
	if err := gob.NewEncoder(out).Encode(r); err != nil {
		return err
	}
	_, _ = in.ReadString('\n') // returns when the process that started this one has ended
	return nil
}

// obeyHold says when it holds the lock, and waits for its end.
func obeyHold(ctx context.Context, lock *peer.Lock, out io.Writer) error {
	locker, err := lock.Waiter(ctx)
	if err != nil {
		return err
	}
	if err := locker.Lock(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	for {
		time.Sleep(time.Hour)
	}
}

// worker is a process that was given an order.
type worker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	log *bytes.Buffer // what it says to stderr; to be read when it has ended
}

// program is the path of the program that has the peer of the order, and the
// order as that program understands it.
func program(o order) (string, order, error) {
	p, err := peer.Find(o.Peer)
	if err != nil {
		return "", o, err
	}
	if p.Earlier == "" {
		self, err := os.Executable()
		return self, o, err
	}
	if o.Site.Earlier == "" {
		return "", o, fmt.Errorf("there is no program of an earlier revision for %s", o.Peer)
	}
	o.Peer = p.Earlier
	return o.Site.Earlier, o, nil
}

// command makes the command of a worker; before is what to run it with.
func command(o order, before ...string) (*exec.Cmd, error) {
	path, o, err := program(o)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	line := append(before, path)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), variable+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

func startWorker(o order) (*worker, error) {
	cmd, err := command(o)
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &worker{cmd: cmd, in: in, out: bufio.NewReader(out), log: &log}, nil
}

// ready waits until the worker says that it is.
func (w *worker) ready() error {
	line, err := w.out.ReadString('\n')
	if err == nil && line != "ready\n" {
		err = fmt.Errorf("a worker said %q", line)
	}
	if err != nil {
		return fmt.Errorf("wait for a worker: %w%s", err, w.said())
	}
	return nil
}

// said ends the worker and returns what it complained of.
func (w *worker) said() string {
	w.kill()
	if text := strings.TrimSpace(w.log.String()); text != "" {
		return " (" + text + ")"
	}
	return ""
}

// kill ends the worker as kill -9 does, and waits until it is gone.
func (w *worker) kill() {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait() // says how it ended, which we know
}
