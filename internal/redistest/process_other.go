//go:build !linux

package redistest

import (
	"io"
	"strings"
	"syscall"
)

// dieWithUs does nothing here: a killed test binary leaves its server behind.
func dieWithUs() *syscall.SysProcAttr { return nil }

// reserve does nothing here: a test may be given the port of another's server that is down.
func reserve(int) (io.Closer, error) { return io.NopCloser(strings.NewReader("")), nil }
