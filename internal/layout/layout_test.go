// Package layout checks which package may import which: examples and
// benchmarks import lock, lock imports queue, and nothing points back. The
// mutex never sees a path or a key, and a queue never sees a mutex.
package layout

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fifolock/fifolock"

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,Deps"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(out); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	if len(pkgs) == 0 {
		t.Fatalf("go list %v names no package", args)
	}
	return pkgs
}

// external keeps what is not in the standard library.
func external(imports []string) []string {
	return slices.DeleteFunc(slices.Clone(imports), func(path string) bool {
		first, _, _ := strings.Cut(path, "/")
		return !strings.Contains(first, ".")
	})
}

// TestImports says what each package may import besides the standard library.
func TestImports(t *testing.T) {
	allowed := map[string][]string{
		module + "/lock": {
			module + "/queue",
			"github.com/cenkalti/backoff/v4",
		},
		module + "/queue":                 {},
		module + "/queue/internal/label":  {},
		module + "/queue/internal/wakeup": {module + "/queue"},
		module + "/queue/filequeue": {
			module + "/queue",
			module + "/queue/internal/label",
			module + "/queue/internal/wakeup",
			"github.com/fsnotify/fsnotify",
			"github.com/gofrs/flock",
			"github.com/google/uuid",
			"golang.org/x/sys/unix",
			"golang.org/x/sys/windows",
		},
		module + "/queue/redisqueue": {
			module + "/queue",
			module + "/queue/internal/label",
			module + "/queue/internal/wakeup",
			"github.com/cenkalti/backoff/v4",
			"github.com/google/uuid",
			"github.com/redis/go-redis/v9",
		},
		module + "/queue/queuetest": {
			module + "/queue",
		},
		module + "/queue/memqueue": {
			module + "/queue",
		},
	}
	for path, may := range allowed {
		for _, p := range list(t, path) {
			for _, imported := range external(p.Imports) {
				if !slices.Contains(may, imported) {
					t.Errorf("%s imports %s", path, imported)
				}
			}
		}
	}
}

// TestExamplesUseThePublicPackagesOnly: what people copy must compile for them.
func TestExamplesUseThePublicPackagesOnly(t *testing.T) {
	for _, p := range list(t, "./examples/...") {
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module+"/internal/") {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

// TestUsersDownloadNothingForTests: neither package brings a user what only
// tests and benchmarks need.
func TestUsersDownloadNothingForTests(t *testing.T) {
	for _, p := range list(t, module+"/lock", module+"/queue/filequeue", module+"/queue/redisqueue", module+"/queue/memqueue") {
		for _, dep := range p.Deps {
			for _, heavy := range []string{"miniredis", "goleak", "porcupine", "rueidis", "etcd", "testing"} {
				if slices.Contains(strings.Split(dep, "/"), heavy) {
					t.Errorf("%s depends on %s", p.ImportPath, dep)
				}
			}
		}
	}
}

// TestFileLockHasNoRedis: a program that locks with files links nothing of Redis.
func TestFileLockHasNoRedis(t *testing.T) {
	for _, p := range list(t, module+"/lock", module+"/queue/filequeue") {
		for _, dep := range p.Deps {
			if strings.Contains(dep, "redis") {
				t.Errorf("%s depends on %s", p.ImportPath, dep)
			}
		}
	}
}
