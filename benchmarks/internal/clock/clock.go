// Package clock tells a time that all processes of this machine agree on.
package clock

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// base and offset turn Go's monotonic clock into the kernel's CLOCK_MONOTONIC. The zero
// of Go's clock differs from process to process.
var base, offset = calibrate()

// Now returns the nanoseconds on the kernel's monotonic clock: it never jumps,
// and samples taken in different processes can be put in order. It costs what
// time.Since costs; asking the kernel each time would cost a system call.
func Now() int64 { return offset + int64(time.Since(base)) }

// calibrate reads both clocks some times and believes the reading that took
// least time: the process may be interrupted between any two.
func calibrate() (time.Time, int64) {
	base := time.Now()
	var offset int64
	best := int64(math.MaxInt64)
	for range 100 {
		var kernel unix.Timespec
		before := int64(time.Since(base))
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &kernel); err != nil {
			panic("the kernel has no monotonic clock: " + err.Error())
		}
		after := int64(time.Since(base))
		if after-before < best {
			best = after - before
			offset = kernel.Nano() - (before+after)/2
		}
	}
	return base, offset
}
