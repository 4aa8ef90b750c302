package redisqueue

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// entry is the content of a ticket's entry in the ZSET: {number}:{token}:{ts_ms}.
type entry struct {
	number int64
	token  string
	since  time.Time // by the server's clock
}

func parseEntry(member string) (entry, error) {
	digits, rest, ok1 := strings.Cut(member, ":")
	token, millis, ok2 := strings.Cut(rest, ":")
	if !ok1 || !ok2 || token == "" {
		return entry{}, errors.New("not number:token:milliseconds")
	}
	number, err := parseDigits(digits)
	if err != nil {
		return entry{}, err
	}
	since, err := parseDigits(millis)
	if err != nil {
		return entry{}, err
	}
	return entry{number, token, time.UnixMilli(since)}, nil
}

// parseDigits parses a text of digits alone: ParseInt would take a sign.
func parseDigits(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, err
	}
	return int64(n), nil
}

// tokenOf returns the token in a ticket's entry, "" if there is none.
func tokenOf(member string) string {
	_, rest, _ := strings.Cut(member, ":")
	token, _, _ := strings.Cut(rest, ":")
	return token
}

// leaseValue is the content of a lease after the ticket's entry:
//
//	{entry} {lease in ms} {owners} {presence} {pid} {host} {label}
//
// The first three are terms of the ticket (see lib.lua and presence.lua), the rest is
// for people.
type leaseValue struct {
	lease    time.Duration
	owners   int    // 0: exclusive; else shared by so many
	presence string // - without crash detection; see presenceOf
	pid      int
	host     string
	label    string
}

// text is everything behind the entry; the script puts that in front.
func (l leaseValue) text() string {
	return fmt.Sprintf(" %d %d %s %d %s %s", l.lease.Milliseconds(), l.owners, l.presence, l.pid, l.host, l.label)
}

// grace is for how long the ticket's process may be absent; 0 if that is not noticed.
func (l leaseValue) grace() time.Duration {
	_, text, _ := strings.Cut(l.presence, "/")
	milliseconds, _ := parseDigits(text)
	return time.Duration(milliseconds) * time.Millisecond
}

// hostName is the machine's, as one word.
var hostName = sync.OnceValue(func() string {
	host, _ := os.Hostname() // without a name, people have the pid
	return strings.Join(strings.Fields(host), "_")
})

// parseLease reads as much as it can: a value that another program has made is for
// people only.
func parseLease(value string) leaseValue {
	fields := strings.SplitN(value, " ", 7)
	if len(fields) < 7 {
		return leaseValue{}
	}
	milliseconds, _ := parseDigits(fields[1])
	owners, _ := strconv.Atoi(fields[2])
	pid, _ := strconv.Atoi(fields[4])
	return leaseValue{
		lease:    time.Duration(milliseconds) * time.Millisecond,
		owners:   owners,
		presence: fields[3],
		pid:      pid,
		host:     fields[5],
		label:    fields[6],
	}
}
