package lockedfile

import (
	"os"
	"testing"
)

// gofrs/flock opens a file again after some errors, and then finds the one that it has
// created itself. It must not stay.
func TestCreateLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	n := NewFile{Name: "ticket", Mode: 0o600}
	if err := os.WriteFile(d.Path(n.Name), nil, n.Mode); err != nil {
		t.Fatal(err)
	}
	if l, err := n.Create(d, false, false); err == nil {
		l.Drop()
		t.Fatal("a file was created that was there")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v is left, %v", entries, err)
	}
}
