// Package model has models of the two protocols in Promela, and checks them
// with spin (Debian: apt-get install spin gcc):
//
//	go test ./internal/model
//
// Each model is checked as it is, exhaustively, and then in its variants, which
// are protocols that do not work: a model in which they pass would prove
// nothing.
package model

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/internal/testenv"
)

// verify runs spin over a model, with the given variant if it is not empty, and
// returns what the verifier says.
func verify(t *testing.T, model, variant string) string {
	t.Helper()
	source, err := filepath.Abs(model)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil && name != "./pan" { // pan's exit code says nothing
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	generate := []string{"-a", source}
	if variant != "" {
		generate = []string{"-a", "-D" + variant, source}
	}
	run("spin", generate...)
	run("gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c")
	return run("./pan", "-m100000")
}

// variants finds the protocols that do not work in a model: the macros that its
// head comment lists.
func variants(t *testing.T, model string) []string {
	t.Helper()
	text, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^ \*   ([A-Z]+) `).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	if len(names) == 0 {
		t.Fatalf("%s lists no variant", model)
	}
	return names
}

func TestModels(t *testing.T) {
	testenv.Need(t, "spin", "gcc")
	for _, model := range []string{"file.pml", "redis.pml"} {
		t.Run(model, func(t *testing.T) {
			out := verify(t, model, "")
			if !strings.Contains(out, "errors: 0") || strings.Contains(out, "max search depth too small") {
				t.Errorf("the protocol fails:\n%s", out)
			}
			for _, variant := range variants(t, model) {
				t.Run(variant, func(t *testing.T) {
					out := verify(t, model, variant)
					if !regexp.MustCompile(`errors: [1-9]`).MatchString(out) {
						t.Errorf("the broken protocol passes:\n%s", out)
					}
				})
			}
		})
	}
}
