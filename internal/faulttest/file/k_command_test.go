//go:build linux

package file

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/queue"
)

func init() {
	commands["umask"] = setUmask
	commands["user"] = becomeUser
	commands["register"] = takeTicket
	commands["share"] = shareTicket
	commands["refresh"] = refreshTicket
	commands["remove"] = removeTicket
	commands["head"] = askHead
	commands["lease"] = leaseFile
	commands["end-lease"] = endLease
	commands["forbid-setgid"] = forbidSetgid
}

func setUmask(w *harness.Worker, args []string) error {
	mask, err := strconv.ParseUint(args[0], 8, 32)
	if err != nil {
		return err
	}
	syscall.Umask(int(mask))
	w.Say("umask %#o", mask)
	return nil
}

// becomeUser makes a process that was started by root act as another user, or as
// root again.
func becomeUser(w *harness.Worker, args []string) error {
	uid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := syscall.Setresuid(-1, 0, -1); err != nil {
		return err
	}
	if err := syscall.Setresuid(-1, uid, -1); err != nil {
		return err
	}
	w.Say("uid %d", os.Geteuid())
	return nil
}

// taken are the tickets that the worker was told to take, in order.
var taken []queue.Ticket

func takeTicket(w *harness.Worker, _ []string) error {
	t, err := w.Queue.Register(context.Background())
	if err != nil {
		return err
	}
	taken = append(taken, t)
	w.Say("%d", t.Ahead)
	return nil
}

// shareTicket takes a ticket in a view in which so many own.
func shareTicket(w *harness.Worker, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	view, err := queue.Share(w.Queue, n)
	if err != nil {
		return err
	}
	t, err := view.Register(context.Background())
	if err != nil {
		return err
	}
	w.Say("%d", t.Ahead)
	return nil
}

func numbered(args []string) (queue.Ticket, error) {
	i, err := strconv.Atoi(args[0])
	if err != nil || i >= len(taken) {
		return queue.Ticket{}, fmt.Errorf("no ticket %q: %w", args, err)
	}
	return taken[i], nil
}

func refreshTicket(w *harness.Worker, args []string) error {
	t, err := numbered(args)
	if err == nil {
		err = queue.Refresh(context.Background(), w.Queue, t)
	}
	if err == nil {
		w.Say("in line")
	}
	return err
}

func removeTicket(w *harness.Worker, args []string) error {
	t, err := numbered(args)
	if err == nil {
		err = queue.Release(context.Background(), w.Queue, t)
	}
	if err == nil {
		w.Say("removed")
	}
	return err
}

func askHead(w *harness.Worker, args []string) error {
	t, err := numbered(args)
	if err != nil {
		return err
	}
	head, err := w.Queue.IsHead(context.Background(), t)
	if err == nil {
		w.Say("%v", head)
	}
	return err
}

var leased *os.File

// leaseFile takes a lease on a file, as a file server does, and says when another process
// wants to open it.
func leaseFile(w *harness.Worker, args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGIO)
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return fmt.Errorf("take the lease: %w", err)
	}
	leased = f
	w.Say("leased")
	go func() {
		<-broken
		w.Say("wanted")
	}()
	return nil
}

func endLease(w *harness.Worker, _ []string) error {
	defer leased.Close()
	if _, err := unix.FcntlInt(leased.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		return fmt.Errorf("end the lease: %w", err)
	}
	w.Say("ended")
	return nil
}

// forbidSetgid lets no system call set the setgid or setuid bit any more, as
// RestrictSUIDSGID of systemd does.
func forbidSetgid(w *harness.Worker, _ []string) error {
	const bits = syscall.S_ISUID | syscall.S_ISGID
	modes := map[uint32]uint32{ // the argument that is a mode, by call
		unix.SYS_FCHMOD: 1, unix.SYS_FCHMODAT: 2, unix.SYS_MKDIRAT: 2, unix.SYS_MKNODAT: 2,
	}
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the call's number
	for call, argument := range modes {
		const low = 16 // offset of the lower half of the first argument, on little-endian machines
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 4},
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: low + 8*argument},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: bits, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(syscall.EPERM)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		)
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const modeFilter, allThreads = 1, 1 // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
	if n, _, errno := unix.Syscall(unix.SYS_SECCOMP, modeFilter, allThreads, uintptr(unsafe.Pointer(&filter))); errno != 0 || n != 0 {
		return fmt.Errorf("seccomp: %d, %w", n, errno)
	}
	w.Say("forbidden")
	return nil
}
