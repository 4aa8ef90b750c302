package lockedfile

import (
	"os"
	"path/filepath"
	"testing"
)

// Where there is no fchmodat2, a directory gets its rights all the same, and what a link
// points to does not.
func TestChmodThroughProc(t *testing.T) {
	dir := t.TempDir()
	made, link, other := filepath.Join(dir, "made"), filepath.Join(dir, "link"), filepath.Join(dir, "other")
	for path, mode := range map[string]os.FileMode{made: 0, other: 0o500} {
		if err := os.Mkdir(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("other", link); err != nil {
		t.Fatal(err)
	}
	if err := chmodThroughProc(made, 0o700); err != nil {
		t.Error(err)
	}
	if err := chmodThroughProc(link, 0o700); err == nil {
		t.Error("a link was followed")
	}
	for path, want := range map[string]os.FileMode{made: 0o700, other: 0o500} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has the rights %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}
