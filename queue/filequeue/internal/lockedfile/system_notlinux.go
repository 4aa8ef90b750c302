//go:build !linux

package lockedfile

import "time"

// IsFine reports that change times prove nothing here.
func IsFine(time.Time) bool { return false }

// Nap does not sleep.
func Nap(time.Duration) bool { return false }

// There are no places here.

func (*Dir) TakePlace(int64) {}

func (*Dir) LeavePlace(int64) {}

func (*Dir) FirstPlace(_, _ int64) (at int64, ok bool) { return 0, false }
