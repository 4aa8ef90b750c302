//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package main

import "io"

// inForeground is not known here.
func inForeground(int) bool { return false }

// inBackground is not known here.
func inBackground(io.Writer) bool { return false }
