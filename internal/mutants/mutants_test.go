package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An edit that does not apply any more would be found only by the next long run.
func TestEveryMutantApplies(t *testing.T) {
	names := make(map[string]bool)
	for _, m := range mutants {
		if names[m.name] {
			t.Errorf("two mutants are called %q", m.name)
		}
		names[m.name] = true
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(m.file)))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if n := strings.Count(string(text), m.old); n != 1 {
			t.Errorf("%s: what it replaces stands %d times in %s, want once", m.name, n, m.file)
		}
		if m.old == m.new {
			t.Errorf("%s: nothing is replaced", m.name)
		}
	}
}
