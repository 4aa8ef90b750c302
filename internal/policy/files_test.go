package policy

import (
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesBuildOnOneAnother: what is declared in a file of a public package uses what is
// declared in others, and these, by whatever way, do not use the first. So each package
// can be read from the ground up, a file at a time. Fields of structs do not count: a
// value may be handed down.
func TestFilesBuildOnOneAnother(t *testing.T) {
	t.Parallel()
	for dir, least := range map[string]int{"lock": 5, "queue": 0, "queue/filequeue": 10, "queue/memqueue": 1, "queue/redisqueue": 5} {
		uses, err := usesOf(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		if len(uses) < least {
			t.Errorf("%s: only %d files use another: the rest was not read", dir, len(uses))
		}
		for file := range uses {
			if way := wayBack(uses, file); way != nil {
				t.Errorf("%s: %s", dir, strings.Join(way, " uses "))
				break // the other files of the circle would say the same
			}
		}
	}
}

// usesOf returns, for each file of the package in dir as it is built here, the files that
// it uses, each with the name of one thing in it.
func usesOf(dir string) (map[string]map[string]string, error) {
	p, err := build.ImportDir(dir, 0)
	if err != nil {
		return nil, err
	}
	files := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(files, filepath.Join(dir, name), nil, 0)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, f)
	}
	info := types.Info{Uses: make(map[*ast.Ident]types.Object)}
	// What is imported need not be known: only the package's own things are looked for.
	config := types.Config{Importer: noImports{}, Error: func(error) {}}
	pkg, _ := config.Check(dir, files, parsed, &info)
	uses := make(map[string]map[string]string)
	for id, object := range info.Uses {
		if variable, ok := object.(*types.Var); object.Pkg() != pkg || ok && object.Parent() != pkg.Scope() || ok && variable.IsField() {
			continue
		}
		from := filepath.Base(files.Position(id.Pos()).Filename)
		to := filepath.Base(files.Position(object.Pos()).Filename)
		if from == to {
			continue
		}
		if uses[from] == nil {
			uses[from] = make(map[string]string)
		}
		uses[from][to] = object.Name()
	}
	return uses, nil
}

// noImports knows no package.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not looked for") }

// wayBack returns the way from a file to itself, nil if there is none: files, each with
// what is used of it.
func wayBack(uses map[string]map[string]string, file string) []string {
	seen := make(map[string]bool)
	var search func(at string) []string
	search = func(at string) []string {
		for next, name := range uses[at] {
			step := next + " (" + name + ")"
			if next == file {
				return []string{step}
			}
			if !seen[next] {
				seen[next] = true
				if way := search(next); way != nil {
					return append([]string{step}, way...)
				}
			}
		}
		return nil
	}
	if way := search(file); way != nil {
		return append([]string{file}, way...)
	}
	return nil
}
