// Withlock runs a command while it holds a lock, in the manner of flock(1), but
// between machines too, and in the order of arrival.
//
//	withlock -file ~/report.lock -- make report
//	withlock -redis localhost:6379 -name report -- make report
//	withlock -file ~/report.lock -wait 30s -- make report    # give up after 30 s in line
//	withlock -file ~/report.lock -try -- make report         # or at once
//	withlock -file ~/report.lock -max 3 -- make report       # at most 3 at a time, a semaphore
//	withlock -redis localhost:6379 -name report -crash 1s -- make report
//
// To have it, in a clone of this repository:
//
//	go install ./examples/withlock
//
// Where to put the directory of -file: it is the queue's own, is made by the first
// process in line and removed by the last. The directory above it must be one that
// the user may write to, on a local file system, where nothing is removed by age.
// The home directory is one, so that these lines can be copied: a lock among the
// programs of one user. A service has systemd make one (RuntimeDirectory=report, and
// -file /run/report/lock). Several users share a queue with -mode 0660 in all programs,
// below a directory with a common group. docs/files.md has more, and which directories
// will not do.
//
// A password belongs in the environment, not on a command line that all users can see:
// without -file and -redis the address is that of FIFOLOCK_REDIS, a redis:// URL say, in
// which the password is percent-encoded.
//
// While it waits it shows on stderr how far it is, unless that is a terminal and it is in the
// background: the 2nd in line is the next. -quiet leaves that out, as for a crontab, which
// sends what is written.
//
// The command finds the fencing token of the lock in FIFOLOCK_TOKEN. (With -max
// above 1 the token says which permit it is, but does not fence.) SIGINT, SIGQUIT, SIGTERM
// and SIGHUP are passed on to it; one that comes while withlock still waits makes it
// leave the line, which takes up to 10 s where the server is away. If the command is in the
// foreground of a terminal the first two are not passed on: the terminal sends Ctrl-C to
// both. A SIGINT of kill(1) or timeout --foreground does not reach the command there: send
// SIGTERM. After the command has ended withlock obeys no signal; it needs up to 10 s to
// release the lock where the server is away.
//
// If withlock or its machine dies, its place in line is free at once in a directory,
// and on Redis when its lease ends; with -crash, which is for a process that dies and
// not for a machine, after that time.
//
// If the lock is lost, the command gets SIGTERM, and SIGKILL after the time of -grace.
// On Redis that happens when the server cannot be reached for the length of a lease; with
// -crash, for half of its time if the connection broke, so that it has to be above twice
// the time of a restart of the server. It happens, too, when withlock was stopped
// (Ctrl-Z) for so long, and there as in a directory when the ticket was evicted. In a
// directory the line waits for a withlock that is stopped.
//
// On Linux the command is killed, too, when withlock itself is, a moment after
// the lock in a directory is free: the next command may start in that moment. What the
// command has started in turn gets none of these signals: it is the command's to
// end, and runs on without the lock otherwise.
//
// Nothing ends a command with the rights of another user, as in withlock ... -- sudo
// make: withlock may send it no signal, and says so. A program with the set-user-ID bit
// or file capabilities is not killed with withlock either. Put withlock behind sudo
// instead: sudo withlock ... -- make.
//
// Exit codes (go run says 1 for all of them; install it, or build it):
//
//	64   the arguments make no sense
//	69   the queue cannot be used: the server is away, or refuses; the directory or the
//	     mode is refused
//	70   the lock was lost: another one may have run beside the command, if it was started
//	75   others have the lock: with -try, or when -wait is over
//	126  the command cannot be run
//	127  there is no such command
//
// Any other is the command's, which may exit with these, too: of its own withlock says why
// on stderr, after "withlock:". 128+n if signal n ended the command, or withlock while it
// waited.
//
// Other than with flock(1), the lock ends with the command: what that has left running in
// the background runs on without it. The path is a directory, not a file. -try is its -n,
// and -wait its -w, with 75 for its 1. A script without #! cannot be run, which is found out
// after the wait. Of the signals that were ignored at the start the command gets SIGHUP and
// SIGINT ignored, all others as by default.
//
// The files: acquire.go takes the lock, command.go runs the command, progress.go
// shows the place in line.
package main

import (
	"errors"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fifolock/fifolock/examples/internal/cli"
)

const (
	exitUsage       = 64 // as in sysexits.h
	exitUnavailable = 69
	exitLost        = 70
	exitBusy        = 75
	exitCannotRun   = 126 // as in a shell
	exitNotFound    = 127
	exitSignal      = 128 // plus the signal
)

func main() {
	code, err := withlock(os.Args[1:])
	if err != nil {
		cli.Say("withlock", err)
	}
	os.Exit(code)
}

// withlock returns the exit code, and what there is to say about it.
func withlock(args []string) (int, error) {
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return exitUsage, err
	}
	// Found out now, not after an hour in line.
	if code, err := findCommand(s.command[0]); err != nil {
		return code, err
	}
	// From here on a closed stderr is an error to ignore: withlock must not die of it
	// while it has a place in line, which would stay for a lease, or a command to end.
	// The command itself gets the default again.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := catchSignals()
	h, code, err := acquire(s, signals)
	if err != nil {
		return code, err
	}
	defer h.close()
	code, err = execute(h, s, signals)
	return release(h, code, err)
}

// settings are what the arguments say.
type settings struct {
	place       cli.Place
	max         int
	wait, grace time.Duration
	try, quiet  bool
	command     []string
}

func parse(args []string) (settings, error) {
	var s settings
	flags := cli.NewFlags("withlock", "-file DIR | -redis ADDRESS -name NAME [flags] -- command [arguments]")
	flags.Place(&s.place, true)
	flags.Lease(&s.place, 30*time.Second)
	flags.Crash(&s.place)
	flags.Int(&s.max, "max", 0, 1, 1_000_000, "let so `many` run at a time; without it one, and the lock is a lock.Mutex, not a lock.Semaphore")
	flags.Duration(&s.wait, "wait", 0, "stand in line no longer than this `time` (WithMaxWait in an error)")
	flags.BoolVar(&s.try, "try", false, "do not wait if others hold the lock or wait for it")
	flags.BoolVar(&s.quiet, "quiet", false, "do not show the place in line")
	flags.StringVar(&s.place.Label, "label", "", "what is shown of this ticket to others; the name of the command without it")
	flags.Duration(&s.grace, "grace", 10*time.Second, "when the lock is lost, the `time` that the command may take to end by itself")
	flags.Check(func() error {
		switch {
		case s.try && s.wait != 0:
			return errors.New("-try does not wait: leave out -wait")
		case flags.NArg() == 0:
			return errors.New("say what to run, after --")
		case !isLabel(s.place.Label):
			return errors.New("-label: give at most 128 bytes of printable text")
		}
		return nil
	})
	var err error
	if s.command, err = flags.ParseCommand(args); err != nil {
		return s, err
	}
	if name := filepath.Base(s.command[0]); s.place.Label == "" && isLabel(name) {
		s.place.Label = name
	}
	return s, nil
}

// isLabel reports whether the queue takes the text for a label.
func isLabel(text string) bool {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	return len(text) <= 128 && utf8.ValidString(text) && !strings.ContainsFunc(text, unprintable)
}
