// Package campaign runs the faults of docs/faults.md for as long as it is told to,
// and says what it has seen: which cases, how many holds, kills and losses, and
// how many violations of a promise.
//
//	go run ./internal/evidence campaign                        # a quarter of an hour
//	go run ./internal/evidence campaign -torture 2m -count 3   # longer
//	go run ./internal/evidence campaign -write                 # and into docs/reliability.md
//
// A test that fails is an error. It needs redis-server; as root, more cases run.
package campaign

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// packages have the tests that docs/faults.md names. Only those of the first
// know what a budget for long tests is.
var packages = []string{"./internal/faulttest/...", "./queue/...", "./lock", "./internal/model", "./internal/harness", "./internal/policy", "./examples/..."}

const document = "docs/reliability.md"

// Main is the command.
func Main(args []string) error {
	flags := flag.NewFlagSet("campaign", flag.ExitOnError)
	torture := flags.Duration("torture", 30*time.Second, "how long each of the long tests runs")
	count := flags.Int("count", 1, "how often each test runs")
	write := flags.Bool("write", false, "write the figures into "+document)
	_ = flags.Parse(args) // exits on errors
	cases, err := readCases("docs/faults.md")
	if err != nil {
		return err
	}
	began := time.Now()
	var seen tally
	err = errors.Join(
		run(&seen, "-count", strconv.Itoa(*count), packages[0], "-args", "-torture", torture.String()),
		run(&seen, append([]string{"-count", strconv.Itoa(*count)}, packages[1:]...)...),
	)
	text := seen.report(cases, began, time.Since(began))
	fmt.Print("\n", text)
	if *write && err == nil {
		err = writeBetween(document, text)
	}
	return err
}

// run runs go test and adds what its tests say to seen.
func run(seen *tally, args ...string) error {
	cmd := exec.Command("go", append([]string{"test", "-json", "-timeout", "60m"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := seen.read(out)
	return errors.Join(readErr, cmd.Wait())
}

// event is one line of go test -json.
type event struct {
	Action string
	Test   string
	Output string
}

// read adds up a stream of events, and shows what the detectors say as it comes, and all
// that a test has said which fails.
func (t *tally) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("go test said %q: %w", line, err)
		}
		if text := t.add(e); text != "" {
			fmt.Println(strings.TrimSpace(text))
		}
	}
}
