package filequeue

import (
	"encoding/hex"
	"os"
	"strconv"

	"github.com/google/uuid"
)

// maxNumber is the highest number a ticket may have: what a float64 still
// counts exactly, as Redis needs it, so that both kinds of queue agree.
const maxNumber = 1<<53 - 1

// ticketName is the name of a ticket's file: {number:020d}.{pid}.{uuid}. Names
// of one directory sort as text in the order of their numbers.
type ticketName struct {
	number int64
	pid    int // for people who look; no decision is made on it
}

const (
	numberDigits = 20
	uuidDigits   = 32
)

var processID = os.Getpid()

// newTicketName makes a name that nobody has used.
func newTicketName(number int64) (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	b := appendNumber(make([]byte, 0, 80), number)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(processID), 10)
	b = append(b, '.')
	return string(hex.AppendEncode(b, id[:])), nil
}

// appendNumber appends the number at its fixed width.
func appendNumber(b []byte, number int64) []byte {
	var digits [numberDigits]byte
	for i := range digits {
		digits[numberDigits-1-i] = byte('0' + number%10)
		number /= 10
	}
	return append(b, digits[:]...)
}

// parseTicketName accepts exactly what newTicketName makes, of any process.
// Everything else in a directory is not a ticket.
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

func isDecimal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}
