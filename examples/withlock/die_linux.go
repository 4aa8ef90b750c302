package main

import (
	"os/exec"
	"syscall"
)

// dieWithUs has the command killed when this program dies, because then the
// lock is free at once.
func dieWithUs(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
