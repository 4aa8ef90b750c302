package lockedfile

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A child that is forked and has not yet called exec has what its parent had open. It does
// not keep a directory locked that its parent has closed.
func TestCloseUnlocksWhatAChildHasOpen(t *testing.T) {
	path := t.TempDir()
	open := func() *Dir {
		t.Helper()
		d, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open()
	if !d.Exclude() {
		t.Fatal("the directory is locked")
	}
	child, err := unix.Dup(int(d.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	d.Close()
	next := open()
	defer next.Close()
	if !next.Share() {
		t.Error("the child keeps the directory locked")
	}
}
