//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package main

// inForeground is not known here.
func inForeground(int) bool { return false }
