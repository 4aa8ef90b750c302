package redistest

import "syscall"

// dieWithUs makes the server end with the test binary, however that ends.
func dieWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
