// Package guard calls a client, which may be the caller's own code.
package guard

import "fmt"

// Call returns a panic of f as an error. A client may be a wrapper of the caller's, and
// may have hooks of the caller's, but the goroutine that it is called in is not always
// the caller's: one that panics fails its own call, and not the process.
func Call(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the client panicked: %v", v)
		}
	}()
	return f()
}
