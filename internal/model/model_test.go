// Package model has models of the protocols in Promela, and checks them with spin
// (Debian: apt-get install spin gcc):
//
//	go test ./internal/model
//
//	file.pml    the queue in a directory
//	redis.pml   the queue in a Redis server
//	handoff.pml the hand-off inside a process, without the server
//
// Each model is checked as it is, exhaustively, in all configurations that its head
// comment lists, and then in its variants, which are protocols that do not work: a
// model in which one of them passes would prove nothing.
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

// verify runs spin over a model with macros, and returns what the verifier says.
// Compiling the verifier takes longer than finding an error with it: it is optimized
// only for a search that is to find none.
func verify(t *testing.T, model, optimize string, macros ...string) string {
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
	generate := []string{"-a"}
	for _, macro := range macros {
		generate = append(generate, "-D"+macro)
	}
	run("spin", append(generate, source)...)
	run("gcc", optimize, "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c")
	return run("./pan", "-m20000")
}

// headComment is what a model says of itself.
func headComment(t *testing.T, model string) string {
	t.Helper()
	text, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	comment, _, _ := strings.Cut(string(text), "*/")
	return comment
}

// variant is a protocol that does not work: a macro that the head comment of a model
// lists, with others without which it makes no difference.
type variant struct {
	name   string
	macros []string
}

func variants(t *testing.T, model string) []variant {
	t.Helper()
	var all []variant
	for _, m := range regexp.MustCompile(`(?m)^ \*   ([A-Z]+) +(?:\(([A-Z=0-9 ]+)\) +)?`).FindAllStringSubmatch(headComment(t, model), -1) {
		all = append(all, variant{m[1], append(strings.Fields(m[2]), m[1])})
	}
	if len(all) == 0 {
		t.Fatalf("%s lists no variant", model)
	}
	return all
}

// configurations finds the macros with which a model is to be checked: those of each
// line that says so, or none.
func configurations(t *testing.T, model string) [][]string {
	t.Helper()
	var all [][]string
	for _, m := range regexp.MustCompile(`(?m)^ \* Configuration: (.*)$`).FindAllStringSubmatch(headComment(t, model), -1) {
		all = append(all, strings.Fields(m[1]))
	}
	if len(all) == 0 {
		return [][]string{nil}
	}
	return all
}

func TestModels(t *testing.T) {
	testenv.Need(t, "spin", "gcc")
	models, err := filepath.Glob("*.pml")
	if err != nil || len(models) == 0 {
		t.Fatalf("no models: %v", err)
	}
	for _, model := range models {
		t.Run(model, func(t *testing.T) {
			for _, macros := range configurations(t, model) {
				out := verify(t, model, "-O2", macros...)
				if !strings.Contains(out, "errors: 0") || strings.Contains(out, "max search depth too small") {
					t.Errorf("the protocol fails with %q:\n%s", macros, out)
				}
			}
			for _, v := range variants(t, model) {
				t.Run(v.name, func(t *testing.T) {
					out := verify(t, model, "-O0", v.macros...)
					if !regexp.MustCompile(`errors: [1-9]`).MatchString(out) {
						t.Errorf("the broken protocol passes:\n%s", out)
					}
				})
			}
		})
	}
}
