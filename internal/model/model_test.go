// Package model has models of the protocols in Promela, and checks them with spin
// (Debian: apt-get install spin gcc):
//
//	go test ./internal/model                             everything, small
//	go test ./internal/model -run TestModels -exhaustive the models, whole: half a minute
//
//	file.pml    the queue in a directory
//	redis.pml   the queue in a Redis server
//	handoff.pml the hand-off inside a process, without the server
//	presence.pml crash detection on Redis
//
// Each model is searched exhaustively in all configurations that its head comment
// lists. Without -exhaustive the line "Small" of that comment bounds how much may go
// wrong in one run. The variants are protocols that do not work: a model in which one
// of them passes would prove nothing. They are always searched whole.
package model

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/internal/testenv"
)

var exhaustive = flag.Bool("exhaustive", false, "search the models whole, not only their small instances")

// verify runs spin over a model with macros, and returns what the verifier says.
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
	compile := []string{optimize, "-w", "-DSAFETY", "-o", "pan", "pan.c"} // -DCOLLAPSE would halve the memory, and double the time
	if order := regexp.MustCompile(`(?m)^ \* Order: (\S+)`).FindStringSubmatch(headComment(t, model)); order != nil {
		compile = append(compile, order[1])
	}
	run("gcc", compile...)
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
// line that says so, or none; with those of the line "Small" unless the search is to
// be exhaustive.
func configurations(t *testing.T, model string) [][]string {
	t.Helper()
	head := headComment(t, model)
	var small []string
	if m := regexp.MustCompile(`(?m)^ \* Small: (.*)$`).FindStringSubmatch(head); m != nil && !*exhaustive {
		small = strings.Fields(m[1])
	}
	var all [][]string
	for _, m := range regexp.MustCompile(`(?m)^ \* Configuration: (.*)$`).FindAllStringSubmatch(head, -1) {
		all = append(all, append(strings.Fields(m[1]), small...))
	}
	if len(all) == 0 {
		return [][]string{small}
	}
	return all
}

func models(t *testing.T) []string {
	t.Helper()
	testenv.Long(t)
	testenv.Need(t, "spin", "gcc")
	all, err := filepath.Glob("*.pml")
	if err != nil || len(all) == 0 {
		t.Fatalf("no models: %v", err)
	}
	return all
}

// TestModels searches the protocols, and finds no error.
func TestModels(t *testing.T) {
	for _, model := range models(t) {
		for _, macros := range configurations(t, model) {
			t.Run(model+" "+strings.Join(macros, " "), func(t *testing.T) {
				t.Parallel()
				out := verify(t, model, "-O1", macros...)
				if !strings.Contains(out, "errors: 0") || strings.Contains(out, "max search depth too small") || strings.Contains(out, "Search not completed") {
					t.Errorf("the protocol fails:\n%s", out)
				}
			})
		}
	}
}

// TestBrokenModels searches the variants, and finds an error in each. Compiling a
// verifier takes longer than finding an error with it: these are not optimized.
func TestBrokenModels(t *testing.T) {
	for _, model := range models(t) {
		for _, v := range variants(t, model) {
			t.Run(model+" "+v.name, func(t *testing.T) {
				t.Parallel()
				out := verify(t, model, "-O0", v.macros...)
				if !regexp.MustCompile(`errors: [1-9]`).MatchString(out) {
					t.Errorf("the broken protocol passes:\n%s", out)
				}
			})
		}
	}
}
