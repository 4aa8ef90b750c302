package policy

import (
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/internal/testenv"
)

// readmeLines is how long the README may be: it is to be read in two minutes.
const readmeLines = 220

// pages returns the pages for users and developers, by their paths.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"} {
		texts[path] = read(t, path)
	}
	for _, file := range files {
		path := "docs/" + filepath.Base(file)
		texts[path] = read(t, path)
	}
	return texts
}

func TestReadmeIsShort(t *testing.T) {
	if n := strings.Count(read(t, "README.md"), "\n"); n > readmeLines {
		t.Errorf("the README has %d lines, want at most %d: move what is not for everyone to docs/", n, readmeLines)
	}
}

// surroundings is what functions without a file of their own are put into.
const surroundings = `package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
	"github.com/redis/go-redis/v9"
)

var (
	_ sql.Result
	_ = errors.New
	_ = slices.Sort[[]int]
	_ = log.Print
	_ = fmt.Print
	_ = io.EOF
	_ = slog.Info
	_ = os.Exit
	_ syscall.Errno
	_ time.Time
	_ lock.Option
	_ queue.Ticket
	_ filequeue.Option
	_ redisqueue.Option
	_ redis.Cmdable
)

func main() {}

func work(context.Context) error { return nil }

`

// TestK70CodeCompiles vets every program and every set of functions, each as a package
// of one module. Fragments of a function are left out: they need what is around them.
// So is what begins with "// before": code that uses another lock, which benchmarks
// checks, where there are others.
func TestK70CodeCompiles(t *testing.T) {
	testenv.Long(t)
	var all strings.Builder
	for _, text := range pages(t) {
		all.WriteString(text)
	}
	var programs, functions int
	module := userModule(t)
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(all.String(), -1) {
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
		if formatted, err := format.Source([]byte(code)); err != nil || string(formatted) != code {
			t.Errorf("not as gofmt has it: %v\n%s", err, code)
		}
		write(t, filepath.Join(module, fmt.Sprintf("page%d", programs+functions), "main.go"), code)
	}
	if programs != 3 || functions != 16 {
		t.Errorf("found %d programs and %d sets of functions, want 3 and 16", programs, functions)
	}
	cmd := exec.Command("go", "vet", "./...")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// userModule makes a module that may import what this one may, and this one, and
// returns its directory.
func userModule(t *testing.T) string {
	t.Helper()
	base, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	const us = "github.com/fifolock/fifolock"
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.sum"), read(t, "go.sum"))
	write(t, filepath.Join(dir, "go.mod"), strings.Replace(read(t, "go.mod"), "module "+us+"\n", "module user\n", 1)+
		fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %[1]s => %q\n", us, base))
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// foreign are the beginnings of texts that are not ours but the system's, the
// server's, or go-redis's.
var foreign = []string{
	"context deadline exceeded", "dial tcp", "connection refused", "no such host", "missing port", "i/o timeout", "tls: ", "failed to verify",
	"NOAUTH", "WRONGPASS", "NOPERM", "ACL failure in script", "The user executing the script", "WRONGTYPE", "READONLY", "OOM", "permission denied", "read-only file system", "too many open files",
	"can't parse map reply", "invalid reply", "not a directory", "ERR This instance has cluster support disabled", "MOVED",
	"connection pool timeout", "MISCONF", "NOREPLICAS", "LOADING", "BUSY", "CLUSTERDOWN", "MASTERDOWN", "no space left on device", "disk quota exceeded",
}

func isForeign(text string) bool {
	return slices.ContainsFunc(foreign, func(f string) bool { return strings.HasPrefix(text, f) })
}

// TestTroubleshooting looks for the texts of errors that docs/errors.md explains in
// the code that makes them.
func TestTroubleshooting(t *testing.T) {
	var code strings.Builder
	for _, file := range goFiles(t, false, "lock", "queue") {
		code.WriteString(read(t, file))
	}
	_, section, _ := strings.Cut(read(t, "docs/errors.md"), "## Troubleshooting\n")
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

// TestLinks: what the pages link to is there, headings included.
func TestLinks(t *testing.T) {
	texts := pages(t)
	links := 0
	for page, text := range texts {
		for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(link[1], "https://") {
				continue // not ours to check
			}
			links++
			target, heading, _ := strings.Cut(link[1], "#")
			file := page
			if target != "" {
				file = path.Join(path.Dir(page), target)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(file))); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if heading != "" && !slices.Contains(headings(texts[file]), heading) {
				t.Errorf("%s: there is no heading %s in %s", page, heading, file)
			}
		}
	}
	if links < 40 {
		t.Errorf("found %d links", links)
	}
}

// headings returns the anchors of a page's headings.
func headings(text string) (anchors []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}
