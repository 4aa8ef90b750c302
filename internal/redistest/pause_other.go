//go:build !unix

package redistest

import (
	"errors"
	"os"
)

func pause(*os.Process) error  { return errors.New("a process cannot be stopped on this system") }
func resume(*os.Process) error { return errors.ErrUnsupported }
