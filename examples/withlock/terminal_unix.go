//go:build linux || darwin || freebsd || netbsd || openbsd

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// inForeground reports whether Ctrl-C on the terminal goes to the process group of the
// command, and so to it without our help. It may have made one of its own, as timeout(1)
// does.
func inForeground(pid int) bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false // there is no terminal
	}
	defer tty.Close()
	front, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return false
	}
	group, err := unix.Getpgid(pid)
	return err == nil && group == front
}

// inBackground reports whether out is the terminal of this process, and another process
// group has its foreground.
func inBackground(out io.Writer) bool {
	tty, ok := out.(*os.File)
	if !ok {
		return false
	}
	front, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && front != unix.Getpgrp()
}
