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

// redisEntry is what the entry of a ticket in the ZSET says:
// {number}:{token}:{ts_ms}.
type redisEntry struct {
	number int64
	token  string
	since  time.Time // by the server's clock
}

func parseRedisEntry(member string) (redisEntry, error) {
	digits, rest, ok1 := strings.Cut(member, ":")
	token, millis, ok2 := strings.Cut(rest, ":")
	if !ok1 || !ok2 || token == "" {
		return redisEntry{}, errors.New("not number:token:milliseconds")
	}
	number, err := parseDigits(digits)
	if err != nil {
		return redisEntry{}, err
	}
	since, err := parseDigits(millis)
	if err != nil {
		return redisEntry{}, err
	}
	return redisEntry{number, token, time.UnixMilli(since)}, nil
}

// parseDigits parses what is only digits: ParseInt would take a sign.
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

// redisLease is what a lease says after the ticket's entry:
//
//	{entry} {proof} {lease in ms} {pid} {host}
//
// proof is known to the owner alone, besides those who may read the server: a
// message that carries it was sent by a script. The rest is for people.
type redisLease struct {
	lease time.Duration
	pid   int
	host  string
}

// leaseText is everything behind the entry; the script puts that in front.
func leaseText(proof string, lease time.Duration) string {
	return " " + proof + " " + strconv.FormatInt(lease.Milliseconds(), 10) + ownerText()
}

// ownerText is who we are: " {pid} {host}".
var ownerText = sync.OnceValue(func() string {
	host, _ := os.Hostname() // without a name, people have the pid
	return fmt.Sprintf(" %d %s", os.Getpid(), host)
})

// parseRedisLease reads what it can: somebody else's value is for people only.
func parseRedisLease(value string) redisLease {
	fields := strings.SplitN(value, " ", 5)
	if len(fields) < 5 {
		return redisLease{}
	}
	milliseconds, _ := parseDigits(fields[2])
	pid, _ := strconv.Atoi(fields[3])
	return redisLease{time.Duration(milliseconds) * time.Millisecond, pid, fields[4]}
}
