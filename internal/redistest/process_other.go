//go:build !linux

package redistest

import "syscall"

// dieWithUs does nothing here: a killed test binary leaves its server behind.
func dieWithUs() *syscall.SysProcAttr { return nil }
