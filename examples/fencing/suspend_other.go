//go:build !unix

package main

import (
	"errors"
	"os"
)

func suspend(*os.Process) error {
	return errors.New("a process cannot be suspended on this system: try it on another")
}

func resume(*os.Process) error { return errors.ErrUnsupported }
