package filequeue

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// seqSize is the size of what seq holds: a number of fixed width and a newline.
// It is written in place, by one write into one page.
const seqSize = numberDigits + 1

// readSeq returns the number in seq, which has the given size. What is not
// exactly a number is none, and is repaired by the next write.
func readSeq(f *os.File, size int64) (number int64, ok bool) {
	var buf [seqSize]byte
	if size != contentOffset+seqSize {
		return 0, false
	}
	if _, err := f.ReadAt(buf[:], contentOffset); err != nil || buf[seqSize-1] != '\n' {
		return 0, false
	}
	return parseNumber(string(buf[:numberDigits]))
}

// writeSeq writes the number to seq.
func (l *seqLock) writeSeq(number int64) error {
	f := l.d.seq
	_, err := f.WriteAt(append(appendNumber(nil, number), '\n'), contentOffset)
	if err == nil && l.size > contentOffset+seqSize {
		err = f.Truncate(contentOffset + seqSize)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", seqName, err)
	}
	l.number, l.valid, l.size = number, true, contentOffset+seqSize
	if l.known {
		l.d.seenAt = time.Now() // the clock of a local file system is not ahead of it
	}
	return nil
}

// errUsedUp: a number was planted that is near the highest possible.
var errUsedUp = errors.New("the numbers are used up: remove the queue's directory")

// nextNumber is above every number given out before. The clock makes up for a
// seq that was removed (the last one to leave cleans up) or damaged, the
// highest ticket for a clock that was set back meanwhile.
func nextNumber(last, highest int64) (int64, error) {
	n := max(last, highest, clockNumber())
	if n >= maxNumber {
		return 0, errUsedUp
	}
	return n + 1, nil
}

// When the process was started, by both clocks.
var (
	start       = time.Now()
	startNumber = start.UnixMicro()
)

// clockNumber is the time in microseconds. It does not go back while the
// process lives, even if somebody sets the clock back.
func clockNumber() int64 {
	return max(wallNumber(), startNumber+time.Since(start).Microseconds())
}

// wallNumber is clockNumber as a process has it that is started now.
func wallNumber() int64 { return time.Now().UnixMicro() }
