//go:build linux

package harness

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// counterWidth is how many bytes the counter's file has, whatever the number:
// it is written in place, with one write, so that a kill leaves the number
// before or the number after.
const counterWidth = 20

// readCounter returns the number in the file.
func readCounter(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimLeft(string(b), " "), 10, 64)
}

// countUp adds 1 to the number in the file the way that needs a lock: it reads,
// pauses, and writes.
func countUp(path string, pause time.Duration) error {
	n, err := readCounter(path)
	if err != nil {
		return err
	}
	if pause > 0 {
		time.Sleep(pause)
	}
	return writeCounter(path, n+1)
}

func writeCounter(path string, n int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(fmt.Appendf(nil, "%*d", counterWidth, n), 0)
	return err
}
