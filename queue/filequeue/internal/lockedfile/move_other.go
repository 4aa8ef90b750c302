//go:build !darwin && !linux

package lockedfile

import "errors"

// movesWithoutReplacing is false: everything is made in place.
const movesWithoutReplacing = false

func moveWithoutReplacing(*Dir, string, string) error { return errors.ErrUnsupported }
