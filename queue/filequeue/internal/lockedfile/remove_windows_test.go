package lockedfile

import (
	"os"
	"testing"
	"time"
)

// A process that looks whether a file is locked keeps it from being removed, for a moment.
func TestRemoveOfAFileThatIsOpened(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.WriteFile("ticket", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(dir + `\ticket`)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Remove("ticket"); err == nil {
		t.Fatal("a file that is open was removed")
	}
	time.AfterFunc(10*time.Millisecond, func() { other.Close() })
	if err := remove(root, "ticket"); err != nil {
		t.Error(err)
	}
}
