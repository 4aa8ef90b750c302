package mutants

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
)

const root = "../../.."

// An edit that does not apply any more, or that does not compile, would be found
// only by the next long run.
func TestEveryMutantApplies(t *testing.T) {
	testenv.Long(t)
	packages := loadPackages(t)
	scripts := redistest.ClientOf(t, redistest.Miniredis(t))
	names := make(map[string]bool)
	for _, m := range all() {
		if names[m.name] {
			t.Errorf("two mutants are called %q", m.name)
		}
		names[m.name] = true
		e, err := m.edit(root)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if strings.HasSuffix(e.file, ".go") {
			err = packages.check(e)
		} else {
			err = scripts.ScriptLoad(t.Context(), string(e.text)).Err()
		}
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// goPackage is what go list says of a package.
type goPackage struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
}

// packages are those that a mutant may be in. What they have in common is read once.
type packages struct {
	ours     map[string]goPackage // by their directories from the root
	fset     *token.FileSet
	parsed   map[string]*ast.File // by path
	importer types.Importer
}

func loadPackages(t *testing.T) *packages {
	t.Helper()
	base, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-deps", "-export", "-json=Dir,ImportPath,Export,GoFiles", "./lock", "./queue/...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	compiled := make(map[string]string) // path of the export data, by import path
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(compiled[path]) }
	fset := token.NewFileSet()
	p := &packages{make(map[string]goPackage), fset, make(map[string]*ast.File), importer.ForCompiler(fset, "gc", lookup)}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg goPackage
		if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
			return p
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		compiled[pkg.ImportPath] = pkg.Export
		if dir, err := filepath.Rel(base, pkg.Dir); err == nil && filepath.IsLocal(dir) {
			p.ours[filepath.ToSlash(dir)] = pkg
		}
	}
}

// check reports an edit with which its package does not compile.
func (p *packages) check(e *edit) error {
	dir, base := path.Split(e.file)
	pkg, ok := p.ours[path.Clean(dir)]
	if !ok {
		return fmt.Errorf("%s is no package that is tested", dir)
	}
	var files []*ast.File
	for _, name := range pkg.GoFiles {
		file, err := p.parse(filepath.Join(pkg.Dir, name))
		if name == base {
			file, err = parser.ParseFile(p.fset, name, e.text, parser.SkipObjectResolution)
		}
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	_, err := (&types.Config{Importer: p.importer}).Check(pkg.ImportPath, p.fset, files, nil)
	return err
}

// parse returns the file as it is on disk.
func (p *packages) parse(path string) (*ast.File, error) {
	if file := p.parsed[path]; file != nil {
		return file, nil
	}
	file, err := parser.ParseFile(p.fset, path, nil, parser.SkipObjectResolution)
	if err == nil {
		p.parsed[path] = file
	}
	return file, err
}

func TestPlace(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.go", `package p

const (
	one = 1
	two = 2
)

// f says one thing.
func f() { say("f") }

func (t *T) f() {
	say("one thing")
	say("T.f")
}
`)
	write("a_plan9.go", "package p\n\nfunc f() { say(\"another system\") }\n")
	write("a_test.go", "package p\n\nfunc f() { say(\"a test\") }\n")
	write("a.lua", "local function f(a)\n  if a then\n    say('f')\n  end\nend\n\nlocal function g()\n  say('g')\nend\n")
	for _, c := range []struct {
		in, old, new string
		want         string // in the text, or in the error
	}{
		{". f", `say("f")`, `yell("f")`, `func f() { yell("f") }`},
		{". f", "", "return; ", `func f() {return;  say("f") }`},
		{". T.f", `say("one thing") say("T.f")`, "", "func (t *T) f() {\n\t\n}"},
		{". two", "2", "3", "two = 3"},
		{". two", "", "3", "no function"},
		{". f", "1", "2", "stands 0 times"},
		{". T.f", "say", "yell", "stands 2 times"},
		{". T.f", `say("T.f")`, `say("T.f")`, "nothing is replaced"},
		{". g", "1", "2", "declared 0 times"},
		{".", "1", "2", "nothing in it"},
		{"a.lua g", "say(", "yell(", "yell('g')"},
		{"a.lua f", "", "  return\n", "function f(a)\n  return\n  if a"},
		{"a.lua f", "say('g')", "", "stands 0 times"},
		{"a.lua", "say(", "yell(", "stands 2 times"},
		{"a.lua h", "say(", "yell(", "0 functions h"},
		{"b.lua", "1", "2", "no such file"},
	} {
		m := Mutant{in: c.in, old: c.old, new: c.new}
		var got string
		if e, err := m.edit(dir); err != nil {
			got = err.Error()
		} else {
			got = string(e.text)
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %q for %q has no %q, but\n%s", c.in, c.new, c.old, c.want, got)
		}
	}
}

func TestCatch(t *testing.T) {
	const in = "\nFAIL\texample.org/a/b\t1.5s\nFAIL\n"
	for out, want := range map[string]string{
		"--- FAIL: TestA (0.01s)\n    --- FAIL: TestA/b (0.00s)\n--- FAIL: FuzzC (0.01s)\n": "TestA, FuzzC",
		"panic: test timed out after 30s\n\trunning tests:\n\t\tTestD (29s)\n":              "TestD",
		"panic: test timed out after 30s\n":                                                 "the time limit",
		"WARNING: DATA RACE\n":                                                              "the race detector",
		"exit status 2\n":                                                                   "the run as a whole",
	} {
		if got := newCatch(out + in).String(); got != want+" in example.org/a/b" {
			t.Errorf("%q: %q, want %q", out, got, want)
		}
	}
}

func TestFirst(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	text := "pass     without a mutant: ./b                          3s\n"
	for _, c := range []catch{{[]string{"TestA", "FuzzC"}, "example.org/a/b"}, {[]string{"the time limit"}, "example.org/a/b"}} {
		text += fmt.Sprintf("caught   %-45s %v by %v\n", "file: "+c.tests[0], time.Minute+5*time.Second, c)
	}
	text += "caught   file: all by itself by TestB in example.org/c\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readCatches(log)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v; want those with a test", got, err)
	}
	const want = "-run ^(TestA|FuzzC)$ example.org/a/b"
	if args := got["file: TestA"].args(); args != want {
		t.Errorf("go test %s, want %s", args, want)
	}
	if c := got["file: all by itself"].String(); c != "TestB in example.org/c" {
		t.Errorf("caught by %s, want TestB in example.org/c", c)
	}
}
