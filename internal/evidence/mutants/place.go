package mutants

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// edit is a file of the module as a mutant would have it.
type edit struct {
	file string // from the module's root, with slashes
	text []byte
}

// span is a part of a file.
type span struct {
	file     string // from the module's root
	text     []byte // of the whole file
	from, to int
	body     int // where the body of a function begins, behind its brace; 0: there is none
}

// edit finds the place of the mutant in the tree and makes its edit.
func (m *Mutant) edit(root string) (*edit, error) {
	s, err := place(root, m.in)
	if err != nil {
		return nil, err
	}
	from, to := s.body, s.body
	if m.old == "" {
		if s.body == 0 {
			return nil, fmt.Errorf("%s is no function: there must be something to replace", m.in)
		}
	} else {
		found := flexible(m.old).FindAllIndex(s.text[s.from:s.to], -1)
		if len(found) != 1 {
			return nil, fmt.Errorf("what it replaces stands %d times in %s", len(found), m.in)
		}
		from, to = s.from+found[0][0], s.from+found[0][1]
	}
	if string(s.text[from:to]) == m.new {
		return nil, fmt.Errorf("nothing is replaced")
	}
	return &edit{s.file, slices.Concat(s.text[:from], []byte(m.new), s.text[to:])}, nil
}

// flexible makes an expression of a text in which any space stands for any other.
func flexible(text string) *regexp.Regexp {
	words := strings.Fields(text)
	for i, word := range words {
		words[i] = regexp.QuoteMeta(word)
	}
	return regexp.MustCompile(strings.Join(words, `\s+`))
}

// place finds where a mutant's edit belongs.
func place(root, in string) (*span, error) {
	where, name, _ := strings.Cut(in, " ")
	if strings.HasSuffix(where, ".lua") {
		return luaPlace(root, where, name)
	}
	if name == "" {
		return nil, fmt.Errorf("%q names a package and nothing in it", in)
	}
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(where), "*.go"))
	if err != nil {
		return nil, err
	}
	var found []*span
	for _, file := range files {
		base := filepath.Base(file)
		if ok, err := build.Default.MatchFile(filepath.Dir(file), base); err != nil || !ok || strings.HasSuffix(base, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		spans, err := goSpans(text, name)
		if err != nil {
			return nil, err
		}
		for _, s := range spans {
			s.file, s.text = path.Join(where, base), text
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%s is declared %d times", in, len(found))
	}
	return found[0], nil
}

// goSpans finds the declarations of a function, method, type, constant or variable
// in a file.
func goSpans(text []byte, name string) ([]*span, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	at := func(p token.Pos) int { return fset.Position(p).Offset }
	var spans []*span
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if funcName(d) == name && d.Body != nil {
				spans = append(spans, &span{from: at(d.Pos()), to: at(d.End()), body: at(d.Body.Lbrace) + 1})
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if declares(spec, name) {
					spans = append(spans, &span{from: at(spec.Pos()), to: at(spec.End())})
				}
			}
		}
	}
	return spans, nil
}

// funcName is the name of a function, or Type.Method.
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if generic, ok := t.(*ast.IndexExpr); ok {
		t = generic.X
	}
	return fmt.Sprintf("%v.%s", t, d.Name.Name)
}

func declares(spec ast.Spec, name string) bool {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		return spec.Name.Name == name
	case *ast.ValueSpec:
		return slices.ContainsFunc(spec.Names, func(n *ast.Ident) bool { return n.Name == name })
	}
	return false
}

// luaPlace is a whole script, or one of its functions, which ends with the first
// end that stands at the beginning of a line.
func luaPlace(root, file, name string) (*span, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		return nil, err
	}
	s := &span{file: file, text: text, to: len(text)}
	if name == "" {
		return s, nil
	}
	head := regexp.MustCompile(`(?m)^(?:local )?function `+regexp.QuoteMeta(name)+`\(.*\)\n`).FindAllIndex(text, -1)
	if len(head) != 1 {
		return nil, fmt.Errorf("%s has %d functions %s", file, len(head), name)
	}
	s.from, s.body = head[0][0], head[0][1]
	length := bytes.Index(text[s.body:], []byte("\nend\n"))
	if length < 0 {
		return nil, fmt.Errorf("%s: function %s has no end", file, name)
	}
	s.to = s.body + length + len("\nend\n")
	return s, nil
}
