package report

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Facts say where, when and with what the comparison was run.
type Facts struct {
	Date        string
	Quick       bool
	Repetitions int
	Revision    string // of fifolock
	Earlier     string // the revision that was measured beside it; empty: none
	Go          string
	CPU         string
	Cores       int
	MemoryGiB   float64
	Kernel      string
	Servers     map[string]string
	Modules     map[string]string // the versions of the peers' modules
}

// repetitions is how often each case was run, in words.
func (f Facts) repetitions() string {
	if f.Repetitions == 1 {
		return "1 repetition"
	}
	return fmt.Sprintf("%d repetitions", f.Repetitions)
}

// earlier is the revision that was measured beside this one, in words.
func (f Facts) earlier() string {
	if f.Earlier == "" {
		return ""
	}
	return " in " + f.Earlier
}

// GatherFacts asks this machine.
func GatherFacts(modules []string) Facts {
	f := Facts{
		Date:     time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		Revision: revision(),
		Go:       runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		CPU:      valueIn("/proc/cpuinfo", "model name"),
		Cores:    runtime.NumCPU(),
		Kernel:   kernel(),
		Modules:  make(map[string]string),
		Servers:  make(map[string]string),
	}
	var kib float64
	if _, err := fmt.Sscan(valueIn("/proc/meminfo", "MemTotal"), &kib); err == nil {
		f.MemoryGiB = kib / (1 << 20)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return f
	}
	for _, m := range info.Deps {
		for _, wanted := range modules {
			if m.Path == wanted {
				f.Modules[m.Path] = m.Version
			}
		}
	}
	return f
}

// valueIn finds a line "name : value".
func valueIn(path, name string) string {
	file, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// revision is the commit that is checked out, and whether anything was changed.
func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
