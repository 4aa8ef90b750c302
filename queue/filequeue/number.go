package filequeue

import (
	"errors"
	"sync"
	"time"
)

// errUsedUp: a number was planted that is near the highest possible.
var errUsedUp = errors.New("the numbers are used up: give the queue another directory, or remove this one while no process uses it")

// nextNumber is the first of count numbers above every one given out before. The clock
// makes up for a seq that was removed (the last one to leave cleans up) or damaged, the
// highest ticket for a clock that was set back meanwhile.
func nextNumber(last, highest, count int64) (int64, error) {
	n := max(last, highest, clockNumber())
	if n > maxNumber-count {
		return 0, errUsedUp
	}
	return n + 1, nil
}

// clock is what this process has last seen of both clocks.
var clock = newClock()

type clockReading struct {
	mu      sync.Mutex
	at      time.Time // by the monotonic clock
	number  int64     // by the wall clock
	highest int64     // what that one said when it was set back
}

func newClock() *clockReading {
	now := time.Now()
	return &clockReading{at: now, number: now.UnixMicro()}
}

// look returns the time, and the highest that the clock has been set back from.
func (c *clockReading) look() (number, highest int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	would := c.number + now.Sub(c.at).Microseconds() // it say, if it had not been set
	c.at, c.number = now, now.UnixMicro()
	if c.number < would && would < maxNumber { // beyond, no number would be left
		c.highest = max(c.highest, would)
	}
	return c.number, c.highest
}

// clockNumber is the time in microseconds. It does not go back while the process lives.
// When the clock is set back it stands still until that time has come again: if it went on
// from there, it would be ahead for ever, and so would be what every line leaves behind.
func clockNumber() int64 {
	number, highest := clock.look()
	return max(number, highest)
}

// wallNumber is the clockNumber of a process that is started now.
func wallNumber() int64 {
	number, _ := clock.look()
	return number
}
