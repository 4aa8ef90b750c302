package filequeue

import (
	"errors"
	"strings"
	"time"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

const seqName = "seq"

// seqContent is what seq says: the last number that was given out, in 20 digits on a
// line of its own, and on the next line whether the queue has made the directory, and
// of what kind the line is. It is written in place, by one write into one page, and
// always as long.
type seqContent struct {
	number int64
	made   bool // the directory was made by the queue, and goes with the last ticket
	kind   kind // that the tickets in line have
}

// kind says how a line is owned.
type kind string

const (
	exclusive kind = "exclusive" // by the first
	shared    kind = "shared   " // by some
	noKind    kind = ""          // not known
)

// user is what the kind is for, in words.
func (k kind) user() string {
	if k == shared {
		return "a Semaphore (shared)"
	}
	return "a Mutex (exclusive)"
}

const (
	made = "made"
	kept = "kept"

	numberLine = numberDigits + 1
	seqSize    = numberLine + len(made) + 1 + len(exclusive) + 1

	// longestSeq is more than any seq has had. A longer file is not one.
	longestSeq = 64
)

func (c seqContent) bytes() []byte {
	word := kept
	if c.made {
		word = made
	}
	b := appendNumber(make([]byte, 0, seqSize), c.number)
	k := c.kind
	if k == noKind {
		k = kind(strings.Repeat(" ", len(exclusive)))
	}
	return append(b, "\n"+word+" "+string(k)+"\n"...)
}

// parseSeq accepts exactly what bytes makes, and the number alone. Anything else is
// no number, and is repaired by the next write.
func parseSeq(b []byte) (c seqContent, ok bool) {
	if len(b) < numberLine || b[numberLine-1] != '\n' {
		return seqContent{}, false
	}
	if c.number, ok = parseNumber(string(b[:numberDigits])); !ok {
		return seqContent{}, false
	}
	if len(b) == numberLine {
		return c, true
	}
	word, rest, _ := strings.Cut(string(b[numberLine:]), " ")
	k, ok := strings.CutSuffix(rest, "\n")
	if !ok || word != made && word != kept {
		return seqContent{}, false
	}
	c.made = word == made
	switch kind(k) {
	case exclusive, shared:
		c.kind = kind(k)
	default:
		if strings.Trim(k, " ") != "" || len(k) != len(exclusive) {
			return seqContent{}, false
		}
	}
	return c, true
}

// readSeq reads what seq says, which has the size.
func readSeq(f *lockedfile.File, size int64) (c seqContent, ok bool) {
	var buf [longestSeq]byte
	size -= lockedfile.ContentOffset
	if size < numberLine || size > longestSeq {
		return seqContent{}, false
	}
	if _, err := f.ReadAt(buf[:size], lockedfile.ContentOffset); err != nil {
		return seqContent{}, false
	}
	return parseSeq(buf[:size])
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
// process lives, also when the clock is set back.
func clockNumber() int64 {
	return max(wallNumber(), startNumber+time.Since(start).Microseconds())
}

// wallNumber is clockNumber as a process has it that is started now.
func wallNumber() int64 { return time.Now().UnixMicro() }
