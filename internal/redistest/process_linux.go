package redistest

import (
	"fmt"
	"io"
	"net"
	"syscall"
)

// dieWithUs makes the server end with the test binary, however that ends.
func dieWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// reserve keeps the port from all tests, also of other processes, until it is closed: by
// a name that one socket can have, and that ends with its process.
func reserve(port int) (io.Closer, error) {
	return net.Listen("unix", fmt.Sprintf("@fifolock-test-%d", port))
}
