package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// treeCPU is the processor time that a process and its descendants have used,
// from the scheduler's nanosecond counts. What has ended is not in it,
// so that it must be read while the connections are there that a process serves.
func treeCPU(pid int) (time.Duration, error) {
	parents, err := parentsOfAll()
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for p := range parents {
		if descends(p, pid, parents) {
			total += processCPU(p)
		}
	}
	return total, nil
}

func descends(p, ancestor int, parents map[int]int) bool {
	for ; p > 0; p = parents[p] {
		if p == ancestor {
			return true
		}
	}
	return false
}

// parentsOfAll has the parent of each process.
func parentsOfAll() (map[int]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state ppid …; the name may contain anything.
		_, rest, ok := strings.Cut(string(content[strings.LastIndexByte(string(content), ')')+1:]), " ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 2 {
			return nil, fmt.Errorf("%s is not as expected: %q", file, content)
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		if parents[pid], err = strconv.Atoi(fields[1]); err != nil {
			return nil, err
		}
	}
	return parents, nil
}

// processCPU is what the living threads of a process have used.
func processCPU(pid int) time.Duration {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0
	}
	var total int64
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		if fields := strings.Fields(string(content)); len(fields) > 0 {
			ns, _ := strconv.ParseInt(fields[0], 10, 64)
			total += ns
		}
	}
	return time.Duration(total)
}
