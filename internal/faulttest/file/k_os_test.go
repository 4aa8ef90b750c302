//go:build linux

package file

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
)

// patience is how long a call waits that is to be served soon: so that it fails
// where it is not, instead of going on for ever.
const patience = 20 * time.Second

func mustChmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func mustWrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// openToAll lets every user reach, and write to, the directory in which the
// queue's is.
func openToAll(t *testing.T, spec harness.Spec) harness.Spec {
	t.Helper()
	testenv.NeedRoot(t)
	for dir := filepath.Dir(spec.Dir); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		mustChmod(t, dir, 0o777)
	}
	return spec
}

// tickets are the paths of the tickets' files, in order.
func tickets(t *testing.T, dir string) (paths []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "0000") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

// mustTicket is the path of the only ticket's file.
func mustTicket(t *testing.T, dir string) string {
	t.Helper()
	all := tickets(t, dir)
	if len(all) != 1 {
		t.Fatalf("the tickets are %q, want one", all)
	}
	return all[0]
}

// Attributes of files that even root obeys.
const (
	immutable  = 0x10 // FS_IMMUTABLE_FL
	appendOnly = 0x20 // FS_APPEND_FL: of a directory, nothing can be removed from it
)

// setAttribute sets or clears an attribute of a file. It skips the test where there
// is no such thing.
func setAttribute(t *testing.T, path string, attribute int, on bool) {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && !on {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if on {
		flags |= attribute
	} else {
		flags &^= attribute
	}
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
	}
	if err != nil {
		t.Skipf("needs attributes of files (chattr): run as root on a file system that has them: %v", err)
	}
}

// wantAbsent checks that there is nothing at a path.
func wantAbsent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		entries, _ := os.ReadDir(path)
		t.Errorf("%.200s is still there (%v), with %v", path, err, entries)
	}
}

// wantDirectory checks that a directory is still the one that it was.
func wantDirectory(t *testing.T, path string, was os.FileInfo) {
	t.Helper()
	is, err := os.Lstat(path)
	if err != nil {
		t.Errorf("the directory that was there before: %v", err)
		return
	}
	if !os.SameFile(is, was) || is.Mode() != was.Mode() {
		t.Errorf("the directory is %v (the same one: %v), was %v", is.Mode(), os.SameFile(is, was), was.Mode())
	}
}

func mustLstat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
