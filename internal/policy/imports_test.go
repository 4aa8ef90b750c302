package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/fifolock/fifolock"

	goRedis = "github.com/redis/go-redis/v9"
	backOff = "github.com/cenkalti/backoff/v4"
	uuid    = "github.com/google/uuid"
)

// rules say what the public packages, and the packages behind them, may import
// besides the standard library. A name that ends in /... stands for all packages
// below; the first rule that fits a package is the one that counts.
//
// They all point one way, from lock to queue. The mutex never sees a path or a
// key, a queue never sees a mutex, and no queue sees another. What opens files
// and what listens to the file system know nothing of tickets.
var rules = []struct {
	name string
	may  []string
}{
	{"lock", []string{"queue", backOff}},
	{"queue", nil},
	{"queue/internal/...", []string{"queue"}},
	{"queue/memqueue", []string{"queue", "queue/internal/..."}},
	{"queue/queuetest", []string{"queue"}},

	{"queue/filequeue", []string{"queue", "queue/internal/...", "queue/filequeue/internal/...",
		uuid, "github.com/fsnotify/fsnotify", "github.com/gofrs/flock", "golang.org/x/sys/unix", "golang.org/x/sys/windows"}},
	{"queue/filequeue/internal/notify", []string{"github.com/fsnotify/fsnotify", "golang.org/x/sys/unix"}},
	{"queue/filequeue/internal/...", []string{"queue/filequeue/internal/...", uuid,
		"github.com/gofrs/flock", "golang.org/x/sys/unix", "golang.org/x/sys/windows"}},

	{"queue/redisqueue", []string{"queue", "queue/internal/...", "queue/redisqueue/internal/...", backOff, uuid, goRedis}},
	{"queue/redisqueue/internal/...", []string{"queue", "queue/internal/...", "queue/redisqueue/internal/...", backOff, uuid, goRedis}},
}

// fits reports whether a package is the one that is named, or one of those.
// Names without a dot are of this module.
func fits(path, name string) bool {
	if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") {
		name = module + "/" + name
	}
	if parent, all := strings.CutSuffix(name, "/..."); all {
		return strings.HasPrefix(path, parent+"/")
	}
	return path == name
}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// listed is what go list says of the public packages and the examples, for a system.
// It is asked once.
var listed = map[string]func() ([]pkg, error){
	"linux": goList("linux"), "windows": goList("windows"), "darwin": goList("darwin"),
}

func goList(system string) func() ([]pkg, error) {
	return sync.OnceValues(func() (pkgs []pkg, err error) {
		cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./lock/...", "./queue/...", "./examples/...")
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		for d := json.NewDecoder(bytes.NewReader(out)); err == nil; {
			var p pkg
			if err = d.Decode(&p); err == nil {
				pkgs = append(pkgs, p)
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return pkgs, err
	})
}

// list returns the packages that a name fits, for a system. No name is of none.
func list(t *testing.T, system string, names ...string) (found []pkg) {
	t.Helper()
	pkgs, err := listed[system]()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, name := range names {
		before := len(found)
		for _, p := range pkgs {
			if fits(p.ImportPath, name) {
				found = append(found, p)
			}
		}
		if len(found) == before && !strings.HasSuffix(name, "/...") {
			t.Fatalf("go list names no package %s", name)
		}
	}
	return found
}

// external keeps those that are not in the standard library.
func external(imports []string) []string {
	return slices.DeleteFunc(slices.Clone(imports), func(path string) bool {
		first, _, _ := strings.Cut(path, "/")
		return !strings.Contains(first, ".")
	})
}

func TestImports(t *testing.T) {
	t.Parallel()
	for system := range listed {
		for _, p := range list(t, system, "lock", "lock/...", "queue", "queue/...") {
			i := 0
			for i < len(rules) && !fits(p.ImportPath, rules[i].name) {
				i++
			}
			if i == len(rules) {
				t.Errorf("there is no rule for %s", p.ImportPath)
				continue
			}
			for _, imported := range external(p.Imports) {
				if !slices.ContainsFunc(rules[i].may, func(name string) bool { return fits(imported, name) }) {
					t.Errorf("%s imports %s on %s", p.ImportPath, imported, system)
				}
			}
		}
	}
}

// TestExamplesUseThePublicPackagesOnly: a reader copies them, and they must
// compile there.
func TestExamplesUseThePublicPackagesOnly(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "linux", "examples/...") {
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module+"/internal/") {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

// TestUsersLinkNothingOfTests: no package brings its users what only tests and
// benchmarks need.
func TestUsersLinkNothingOfTests(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "linux", "lock", "queue", "queue/filequeue", "queue/redisqueue", "queue/memqueue") {
		for _, dep := range p.Deps {
			for _, heavy := range []string{"miniredis", "goleak", "porcupine", "rueidis", "etcd", "testing"} {
				if slices.Contains(strings.Split(dep, "/"), heavy) {
					t.Errorf("%s depends on %s", p.ImportPath, dep)
				}
			}
		}
	}
}

// mostPackages is how many packages a program with a file lock may consist of,
// beside its own.
const mostPackages = 135

// TestFileLockIsSmall: a program that locks with files links nothing of Redis,
// and not much else.
func TestFileLockIsSmall(t *testing.T) {
	t.Parallel()
	for system := range listed {
		deps := map[string]bool{}
		for _, p := range list(t, system, "lock", "queue/filequeue") {
			deps[p.ImportPath] = true
			for _, dep := range p.Deps {
				deps[dep] = true
				if strings.Contains(dep, "redis") {
					t.Errorf("a program with a file lock depends on %s", dep)
				}
			}
		}
		t.Logf("%d packages on %s", len(deps), system)
		if len(deps) > mostPackages {
			t.Errorf("%d packages on %s, want at most %d", len(deps), system, mostPackages)
		}
	}
}
