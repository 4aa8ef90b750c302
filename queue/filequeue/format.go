package filequeue

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
	"github.com/fifolock/fifolock/queue/internal/label"
)

// maxNumber is the highest number a ticket may have: the highest that a
// float64 counts exactly, as Redis needs it, so that both kinds of queue agree.
const maxNumber = 1<<53 - 1

// ticketName is the name of a ticket's file: {number:020d}.{pid}.{uuid}. Names
// of one directory sort as text in the order of their numbers.
type ticketName struct {
	number int64
	pid    int // for people; no decision is made on it
}

const (
	numberDigits = 20
	uuidDigits   = 32
)

var processID = os.Getpid()

// newTicketName makes a name that was never used.
func newTicketName(number int64) (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%0*d.%d.%x", numberDigits, number, processID, id[:]), nil
}

// parseTicketName accepts exactly the names that newTicketName makes, in
// any process. Everything else in a directory is not a ticket.
func parseTicketName(name string) (ticketName, bool) {
	const shortest = numberDigits + len(".1.") + uuidDigits
	if len(name) < shortest || name[numberDigits] != '.' {
		return ticketName{}, false
	}
	number, ok := parseNumber(name[:numberDigits])
	if !ok {
		return ticketName{}, false
	}
	rest, id := name[numberDigits+1:len(name)-uuidDigits], name[len(name)-uuidDigits:]
	if rest[len(rest)-1] != '.' || !isLowerHex(id) {
		return ticketName{}, false
	}
	pid, ok := parsePID(rest[:len(rest)-1])
	return ticketName{number: number, pid: pid}, ok
}

func isTicketName(name string) bool {
	_, ok := parseTicketName(name)
	return ok
}

// parseNumber accepts a number of fixed width, as in ticket names and in seq.
func parseNumber(s string) (int64, bool) {
	if len(s) != numberDigits || !isDecimal(s) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > maxNumber {
		return 0, false
	}
	return n, true
}

func parsePID(s string) (int, bool) {
	if s == "" || len(s) > 10 || s[0] == '0' || !isDecimal(s) {
		return 0, false
	}
	pid, err := strconv.Atoi(s)
	return pid, err == nil
}

func isDecimal(s string) bool { return strings.Trim(s, "0123456789") == "" }

func isLowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

const seqName = "seq"

// seqContent is the content of seq: the last number that was given out, in 20 digits
// on a line of its own, and on the next line whether the queue has made the
// directory, and the kind of the line. It is written in place, by one write into one
// page, and always as long.
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

// kindOf is the kind of a line whose tickets say that so many own.
func kindOf(owners int) kind {
	if owners > 0 {
		return shared
	}
	return exclusive
}

// user is the lock that the kind is for, in words.
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
	return fmt.Appendf(nil, "%0*d\n%s %-*s\n", numberDigits, c.number, word, len(exclusive), c.kind)
}

// parseSeq accepts exactly the results of bytes, and the number alone. Anything
// else is no number, and is repaired by the next write.
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

// readSeq reads the content of seq, a file of the size, if it is valid.
func readSeq(f *lockedfile.File, size int64) (c seqContent, valid bool, err error) {
	var buf [longestSeq]byte
	size -= lockedfile.ContentOffset
	if size < numberLine || size > longestSeq {
		return seqContent{}, false, nil
	}
	n, err := f.ReadAt(buf[:size], lockedfile.ContentOffset)
	if err != nil && err != io.EOF { // it was truncated
		return seqContent{}, false, err
	}
	c, valid = parseSeq(buf[:n])
	return c, valid, nil
}

// content is that of a ticket's file, if there is anything to say: the stale timeout on
// the first line, then how many own, which gives the kind of the line, then the label,
// which is for people.
type content struct {
	stale  time.Duration // 0: the ticket lives as long as its owner
	owners int           // 0: it excludes all others
	label  string
}

const (
	ownersWord     = "owners "
	labelWord      = "label "
	longestContent = 64 + len(ownersWord) + 20 + len(labelWord) + label.Longest
)

func (c content) bytes() []byte {
	if c == (content{}) {
		return nil // as nearly all
	}
	text := c.stale.String() + "\n"
	if c.owners > 0 {
		text += ownersWord + strconv.Itoa(c.owners) + "\n"
	}
	if c.label != "" {
		text += labelWord + c.label + "\n"
	}
	return []byte(text)
}

// leastStaleTimeout is the longest step in which the time stamps of common file
// systems move: a ticket that is refreshed all the time may seem one step old.
const leastStaleTimeout = 10 * time.Millisecond

// parseContent is the inverse of bytes. Text that makes no sense is left out.
func parseContent(b []byte) (c content) {
	first, rest, ok := strings.Cut(string(b), "\n")
	if !ok {
		return c
	}
	if d, err := time.ParseDuration(first); err == nil && d >= leastStaleTimeout {
		c.stale = d
	}
	for line := range strings.Lines(rest) {
		line, whole := strings.CutSuffix(line, "\n")
		if !whole {
			break
		}
		if text, found := strings.CutPrefix(line, ownersWord); found {
			c.owners = parseOwners(text)
		}
		if text, found := strings.CutPrefix(line, labelWord); found && label.Check(text) == nil {
			c.label = text
		}
	}
	return c
}

// parseOwners returns 0 for a text that is no number, and the highest for one that is
// too high for this machine.
func parseOwners(text string) int {
	if !isDecimal(text) {
		return 0
	}
	n, _ := strconv.Atoi(text)
	return n
}

// readContent returns the content of a ticket's file.
func readContent(f *os.File) (*content, error) {
	var buf [longestContent]byte // bounded, however long the file is
	n, err := f.ReadAt(buf[:], lockedfile.ContentOffset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	c := parseContent(buf[:n])
	return &c, nil
}
