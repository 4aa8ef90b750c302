package load

import (
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is what this process has used, in user and system mode.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Usage is what this process has open and in use.
type Usage struct {
	Descriptors int
	Watchers    int // inotify instances
	Memory      int // bytes of heap and stacks, after a garbage collection
}

// CurrentUsage asks the kernel and the runtime.
func CurrentUsage() (Usage, error) {
	var u Usage
	var err error
	if u.Descriptors, u.Watchers, err = descriptors(); err != nil {
		return u, err
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Memory = int(m.HeapAlloc + m.StackInuse)
	return u, nil
}

func descriptors() (all, inotify int, err error) {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil && target == "anon_inode:inotify" {
			inotify++
		}
	}
	return len(entries) - 1, inotify, nil // one is that of reading the directory
}

// DescriptorLimit is how many descriptors this process may have open.
func DescriptorLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(limit.Cur, 1<<20))
}
