package policy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	return read(t, "README.md")
}

// surroundings is what functions without a file of their own are put into.
const surroundings = `package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
	"github.com/redis/go-redis/v9"
)

var (
	_ sql.Result
	_ = errors.New
	_ lock.Option
	_ queue.Ticket
	_ filequeue.Option
	_ redisqueue.Option
	_ redis.Cmdable
)

func main() {}

func work(context.Context) error { return nil }

`

// TestCodeCompiles vets every program and every set of functions. Fragments of
// a function are left out: they need what is around them. So is what begins
// with "// before": code that uses another lock, which benchmarks checks, where
// there are others.
func TestCodeCompiles(t *testing.T) {
	var programs, functions int
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme(t), -1) {
		code := block[1]
		switch {
		case strings.HasPrefix(code, "// before"):
			continue
		case strings.HasPrefix(code, "package main"):
			programs++
		case regexp.MustCompile(`(?m)^func `).MatchString(code):
			functions++
			code = surroundings + code
		default:
			continue
		}
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, code)
		}
		if out, err := exec.Command("gofmt", "-l", file).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("not as gofmt has it: %v\n%s", err, code)
		}
	}
	if programs != 2 || functions != 4 {
		t.Errorf("found %d programs and %d sets of functions, want 2 and 4", programs, functions)
	}
}

// foreign are the beginnings of texts that are not ours but the system's, the
// server's, or go-redis's.
var foreign = []string{
	"context deadline exceeded", "dial tcp", "connection refused", "no such host", "missing port", "i/o timeout", "tls: ", "failed to verify",
	"NOAUTH", "WRONGPASS", "NOPERM", "ACL failure in script", "The user executing the script", "WRONGTYPE", "READONLY", "OOM", "permission denied", "too many open files",
}

func isForeign(text string) bool {
	return slices.ContainsFunc(foreign, func(f string) bool { return strings.HasPrefix(text, f) })
}

// TestTroubleshooting looks for the texts of errors that the README explains in
// the code that makes them.
func TestTroubleshooting(t *testing.T) {
	var code strings.Builder
	for _, file := range goFiles(t, false, "lock", "queue") {
		code.WriteString(read(t, file))
	}
	_, section, _ := strings.Cut(readme(t), "## Troubleshooting\n")
	section, _, _ = strings.Cut(section, "\n## ")
	texts := 0
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(section, -1) {
		for _, text := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			texts++
			// Dots and numbers stand for what is put in.
			for _, part := range regexp.MustCompile(`\.\.\.|\d+|: `).Split(text[1], -1) {
				part = strings.TrimSpace(part)
				if !isForeign(part) && !strings.Contains(code.String(), part) {
					t.Errorf("no error has the text %q", part)
				}
			}
		}
	}
	if texts < 15 {
		t.Errorf("found %d texts, want those of a whole table", texts)
	}
}

// TestLinks: what the README links to is there, headings of its own included.
func TestLinks(t *testing.T) {
	text := readme(t)
	headings := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		slug := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		headings["#"+strings.ReplaceAll(slug, " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1)
	for _, link := range links {
		switch target := link[1]; {
		case strings.HasPrefix(target, "https://"): // not ours to check
		case strings.HasPrefix(target, "#"):
			if !headings[target] {
				t.Errorf("there is no heading %s", target)
			}
		default:
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(target))); err != nil {
				t.Error(err)
			}
		}
	}
	if len(links) < 20 {
		t.Errorf("found %d links", len(links))
	}
}
