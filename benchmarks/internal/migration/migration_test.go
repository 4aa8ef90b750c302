// Package migration checks that docs/migration.md, where it shows how to come from
// another lock, shows code of that lock which compiles. It is here because the
// other locks are dependencies of this module alone.
package migration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const surroundings = `package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/gofrs/flock"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/semaphore"
)

var (
	_ = errors.Is
	_ = strconv.Itoa
	_ time.Duration
	_ redislock.Options
	_ redsync.Option
	_ flock.Option
	_ redis.Cmdable
	_ semaphore.Weighted
)

func main() {}

func work(context.Context) error { return nil }

`

func TestCodeOfOtherLocksCompiles(t *testing.T) {
	text, err := os.ReadFile("../../../docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(// before\n.*?)```").FindAllStringSubmatch(strings.ReplaceAll(string(text), "\r\n", "\n"), -1)
	for _, block := range blocks {
		code := surroundings + block[1]
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\n%s", err, out, block[1])
		}
	}
	if len(blocks) != 5 {
		t.Errorf("found %d pieces of code, want 5", len(blocks))
	}
}
