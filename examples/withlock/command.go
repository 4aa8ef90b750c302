package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
)

func findCommand(name string) (int, error) {
	_, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exitNotFound, err
	}
	return exitCannotRun, err // if err is not nil: a directory, or not executable
}

// execute runs the command and returns its exit code.
func execute(h hold, s settings, signals <-chan os.Signal) (int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-h.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()

	command := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), fmt.Sprintf("FIFOLOCK_TOKEN=%d", h.Token()))
	var (
		telling sync.WaitGroup
		refused sync.Once
	)
	command.Cancel = func() error {
		err := terminate(command.Process)
		telling.Go(func() { tellLost(err) }) // stderr may block, and the time of -grace must begin
		return err
	}
	command.WaitDelay = s.grace
	dieWithUs(command)
	select {
	case s := <-signals: // came between the wait and the command, which the terminal has not told
		return caught{s}.exitCode(), caught{s}
	case <-h.Lost():
		return exitLost, errors.New("the command was not started")
	default:
	}
	if err := command.Start(); err != nil {
		return exitCannotRun, err
	}
	forget := onSignal(signals, func(signal os.Signal) {
		// Many programs take a second SIGINT for an order to end at once, so
		// that the command must not get one from the terminal and one from us.
		fromTerminal := signal == os.Interrupt || signal == syscall.SIGQUIT
		if !fromTerminal || !inForeground(command.Process.Pid) {
			err := command.Process.Signal(signal)
			if err != nil && !errors.Is(err, os.ErrProcessDone) {
				refused.Do(func() { telling.Go(func() { tellRefused(err) }) })
			}
		}
	})
	command.Wait() // how it ended is in its state
	forget()
	telling.Wait()
	return exitCodeOf(command.ProcessState)
}

// tellLost says that the lock was lost. err is why the command cannot be ended.
func tellLost(err error) {
	switch {
	case errors.Is(err, os.ErrProcessDone): // there is nothing to end
	case err != nil:
		fmt.Fprintln(os.Stderr, "withlock: the lock was lost: the command cannot be ended:", err)
	default:
		fmt.Fprintln(os.Stderr, "withlock: the lock was lost: the command is ended")
	}
}

// tellRefused says why the command does not get the signals that are passed on.
func tellRefused(err error) {
	fmt.Fprintln(os.Stderr, "withlock: the command cannot be sent a signal:", err)
}

// terminate asks a process to end; where that cannot be asked, it ends it.
func terminate(p *os.Process) error {
	err := p.Signal(syscall.SIGTERM)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return p.Kill()
	}
	return err
}

func exitCodeOf(state *os.ProcessState) (int, error) {
	if state == nil {
		return exitUnavailable, errors.New("it is not known how the command ended")
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitSignal + int(status.Signal()), nil
	}
	return state.ExitCode(), nil
}

// catchSignals catches what is passed on, but not a SIGHUP or SIGINT that was ignored
// when this program was started, as the first is under nohup.
func catchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 8)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals
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
