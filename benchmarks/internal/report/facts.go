package report

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Facts say where, when and with what the comparison was run.
type Facts struct {
	Date        string
	Quick       bool
	Repetitions int
	Only        string // the regular expression of -only; empty: all cases and peers
	Revision    string // of fifolock
	Earlier     string // the revision that was measured beside it; empty: none
	Go          string
	CPU         string
	Cores       int
	Virtual     bool // the machine is a virtual one
	MemoryGiB   float64
	Kernel      string
	Servers     map[string]string
	Modules     map[string]string // the versions of the peers' modules

	// What else the machine did: the load averages over 1, 5 and 15 minutes before the run
	// and after it, and the percentage of the processor time that the host gave to others.
	LoadBefore, LoadAfter string
	StolenPercent         float64

	began processorTimes
}

// command is how to make such results again.
func (f Facts) command() string {
	c := "go run ./cmd/compare"
	if f.Quick {
		c += " -quick"
	}
	c += fmt.Sprintf(" -repetitions %d", f.Repetitions)
	if f.Earlier != "" {
		c += " -earlier " + f.Earlier
	}
	if f.Only != "" {
		c += " -only '" + f.Only + "'"
	}
	return c
}

// cores says how many there are of what.
func (f Facts) cores() string {
	if f.Virtual {
		return fmt.Sprintf("%d virtual processors", f.Cores)
	}
	return fmt.Sprintf("%d cores", f.Cores)
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
	f.Virtual = slices.Contains(strings.Fields(valueIn("/proc/cpuinfo", "flags")), "hypervisor")
	f.LoadBefore, f.began = loadAverages(), timesOfProcessors()
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

// End notes what the machine did during the run.
func (f *Facts) End() {
	f.LoadAfter = loadAverages()
	now := timesOfProcessors()
	if all := now.all - f.began.all; all > 0 {
		f.StolenPercent = 100 * (now.stolen - f.began.stolen) / all
	}
}

func loadAverages() string {
	content, _ := os.ReadFile("/proc/loadavg") // without it, nothing is said of the load
	fields := strings.Fields(string(content))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// processorTimes are those of all processors since the machine was started.
type processorTimes struct{ all, stolen float64 }

// timesOfProcessors reads the first line of /proc/stat: user, nice, system, idle, iowait,
// irq, softirq, steal, and two that are part of the first two.
func timesOfProcessors() (t processorTimes) {
	content, _ := os.ReadFile("/proc/stat") // without it, nothing is said of stolen time
	line, _, _ := strings.Cut(string(content), "\n")
	fields := strings.Fields(line)
	for i, field := range fields[min(1, len(fields)):min(9, len(fields))] {
		v, _ := strconv.ParseFloat(field, 64)
		t.all += v
		if i == 7 {
			t.stolen = v
		}
	}
	return t
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
