package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	// startAttempts is how many ports are tried: another process may take the
	// one that was free a moment before.
	startAttempts = 5

	startTimeout = 30 * time.Second
)

// process is a running server. It dies with us, however we end.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// start runs a server, with what it says going to a file.
func start(name, log string, credential *syscall.Credential, command string, args ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd := exec.Command(command, args...)
	cmd.Dir = filepath.Dir(log)
	cmd.Stdout, cmd.Stderr = file, file
	// A process group of its own: an interrupt from the keyboard is for this process,
	// which needs the server until the end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // that it has ended is all that matters
		close(p.done)
	}()
	return p, nil
}

// stop ends the server and waits until it is gone. Nothing of its data is
// wanted, so that SIGINT is for the servers that have children to end.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// await waits until the server answers. On failure it ends it, and the error
// has what it said.
func (p *process) await(answers func() error) error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := answers()
		if err == nil {
			return nil
		}
		ended := false
		select {
		case <-p.done:
			ended = true
		case <-time.After(20 * time.Millisecond):
		}
		if ended || time.Now().After(deadline) {
			p.stop()
			said, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s does not answer: %w\n%s", p.name, err, said)
		}
	}
}

// onFreePort starts a server on a port that is free.
func onFreePort(start func(port string) (*process, error)) (p *process, addr string, err error) {
	for range startAttempts {
		var port string
		if port, err = freePort(); err != nil {
			return nil, "", err
		}
		if p, err = start(port); err == nil {
			return p, net.JoinHostPort("127.0.0.1", port), nil
		}
	}
	return nil, "", err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// find returns the program's path: from PATH, or from directories that are
// often not in it.
func find(program string, elsewhere ...string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, pattern := range elsewhere {
		found, globErr := filepath.Glob(pattern)
		if globErr != nil {
			return "", globErr
		}
		if len(found) > 0 {
			slices.Sort(found)
			return found[len(found)-1], nil
		}
	}
	if errors.Is(err, exec.ErrNotFound) {
		err = fmt.Errorf("%s is not in PATH", program)
	}
	return "", err
}

// version returns the first line of what the program says about itself.
func version(path string) string {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "unknown"
	}
	for i, b := range out {
		if b == '\n' {
			return string(out[:i])
		}
	}
	return string(out)
}
