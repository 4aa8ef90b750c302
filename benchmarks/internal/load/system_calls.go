package load

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// fileCalls are the system calls that ask or tell the file system something.
// Those of Go's scheduler and timers are not among them.
var fileCalls = []string{
	"open", "openat", "openat2", "close", "read", "pread64", "write", "pwrite64", "stat", "lstat", "fstat",
	"newfstatat", "statx", "getdents64", "flock", "fcntl", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir",
	"ftruncate", "utimensat", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
}

// ErrNoStrace says that system calls cannot be counted here.
var ErrNoStrace = errors.New("strace is not in PATH (to have it: apt-get install strace)")

// IdleSystemCalls is how many system calls on files n waiters make while they
// wait for so long, as strace counts them. What a process does when it begins
// and ends is taken off: it is what one has done that waited for no time.
func IdleSystemCalls(p peer.Peer, site peer.Site, o peer.Options, n int, settle, measure time.Duration) (int, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return 0, ErrNoStrace
	}
	short, err := tracedIdle(p, site, o, n, settle, 0)
	if err != nil {
		return 0, err
	}
	long, err := tracedIdle(p, site, o, n, settle, measure)
	return max(0, long-short), err
}

func tracedIdle(p peer.Peer, site peer.Site, o peer.Options, n int, settle, measure time.Duration) (calls int, err error) {
	table, err := os.CreateTemp("", "fifolock-strace-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(table.Name())
	defer table.Close()
	plan := Plan{Waiters: n, WarmUp: settle, Measure: measure}
	cmd, err := command(order{Job: idle, Peer: p.Name, Site: site, Options: o, Plan: plan}, "strace", "-f", "-c", "-o", table.Name())
	if err != nil {
		return 0, err
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("strace of a worker: %w\n%s", err, said)
	}
	return sumCalls(bufio.NewScanner(table))
}

// sumCalls adds up the file calls in the table of strace -c:
//
//	% time     seconds  usecs/call     calls    errors syscall
//	 52.94    0.000036           4         9         1 openat
func sumCalls(lines *bufio.Scanner) (sum int, err error) {
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || !slices.Contains(fileCalls, fields[len(fields)-1]) {
			continue
		}
		calls, err := strconv.Atoi(fields[3])
		if err != nil {
			return 0, fmt.Errorf("the table of strace is not as expected: %q", lines.Text())
		}
		sum += calls
	}
	return sum, lines.Err()
}
