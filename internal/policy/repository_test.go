package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the directory of the module.
const root = "../.."

// read returns a file of the repository, with the line ends of Unix.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// goFiles returns the paths of the Go files in the directories and below them,
// from the module's root; those of tests, or the others.
func goFiles(t *testing.T, tests bool, dirs ...string) []string {
	t.Helper()
	var files []string
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && strings.HasSuffix(path, "_test.go") == tests {
				path, err = filepath.Rel(root, path)
				files = append(files, filepath.ToSlash(path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}
