package policy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
)

// block returns the code between two marks of a page.
func block(t *testing.T, page, mark string) string {
	t.Helper()
	pattern := regexp.MustCompile("(?s)<!-- " + mark + ":begin -->\n```[a-z]+\n(.*?)```\n<!-- " + mark + ":end -->")
	match := pattern.FindStringSubmatch(read(t, page))
	if match == nil {
		t.Fatalf("%s has no block %q", page, mark)
	}
	return match[1]
}

// withlock builds the program and returns its path.
func withlock(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "withlock")
	cmd := exec.Command("go", "build", "-o", program, "./examples/withlock")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestUnit has systemd check the unit, and runs its command.
func TestUnit(t *testing.T) {
	testenv.Long(t)
	unit, dir := block(t, "docs/operations.md", "unit"), t.TempDir()
	for from, to := range map[string]string{
		"/usr/local/bin/withlock":    withlock(t),
		"/usr/local/bin/make-report": "/bin/true",
		"/run/report":                filepath.Join(dir, "report"),
	} {
		if !strings.Contains(unit, from) {
			t.Fatalf("the unit has no %s", from)
		}
		unit = strings.ReplaceAll(unit, from, to)
	}
	command := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)
	if command == nil {
		t.Fatal("the unit has no ExecStart")
	}
	args := strings.Fields(command[1])
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", command[1], err, out)
	}

	testenv.Need(t, "systemd-analyze")
	file := filepath.Join(dir, "report.service")
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestCronJob runs the command of the CronJob's container, against a real server.
func TestCronJob(t *testing.T) {
	testenv.Long(t)
	job := block(t, "docs/operations.md", "cronjob")
	match := regexp.MustCompile(`(?m)^ +command: (\[.*\])$`).FindStringSubmatch(job)
	if match == nil {
		t.Fatal("the CronJob has no command")
	}
	var args []string
	if err := json.Unmarshal([]byte(match[1]), &args); err != nil {
		t.Fatal(err)
	}
	server := redistest.StartServer(t)
	for i, arg := range args {
		switch arg {
		case "withlock":
			args[i] = withlock(t)
		case "redis:6379":
			args[i] = server.Addr
		case "make-report":
			args[i] = "true"
		}
	}
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%q: %v\n%s", args, err, out)
	}
}
