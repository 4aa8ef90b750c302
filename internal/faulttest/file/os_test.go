//go:build linux

package file

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
)

func mustMkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// needStrace skips a test of what happens between two system calls where there is no
// strace, and under the race detector: a worker is some ten times slower with both, and
// what it is tested for are not races of its memory.
func needStrace(t *testing.T) {
	t.Helper()
	if testenv.Race {
		t.Skip("is too slow with the race detector: run without -race")
	}
	testenv.Need(t, "strace")
}

// underStrace starts a worker under strace with these arguments. It skips the
// test where strace may not trace.
func underStrace(t *testing.T, args ...string) harness.Change {
	t.Helper()
	needStrace(t)
	if err := exec.Command("strace", "-f", "-o", "/dev/null", "true").Run(); err != nil {
		testenv.Unable(t, "needs the right to trace: run where it is given (CAP_SYS_PTRACE): %v", err)
	}
	// Not with --seccomp-bpf unless the caller says so, which is faster, because strace loses
	// the signals then that it is told to inject, on a busy machine.
	return harness.Under("strace", append([]string{"-f", "-q", "-o", "/dev/null"}, args...)...)
}

// injections is how many results strace has put in place of those of the system.
func injections(t *testing.T, log string) int {
	t.Helper()
	return strings.Count(mustRead(t, log), "(INJECTED)")
}

// mount mounts a new file system of the kind for the test and returns where.
func mount(t *testing.T, kind, options string) string {
	t.Helper()
	testenv.NeedRoot(t)
	dir := t.TempDir()
	target := filepath.Join(dir, "mounted")
	mustMkdir(t, target)
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Skipf("needs to mount a file system that the kernel has: run where root may (CAP_SYS_ADMIN): %s %s: %v: %s", name, strings.Join(args, " "), err, out)
		}
	}
	switch kind {
	case "tmpfs":
		run("mount", "-t", "tmpfs", "-o", "mode=755"+options, "none", target)
	case "overlay":
		for _, part := range []string{"lower", "upper", "work"} {
			mustMkdir(t, filepath.Join(dir, part))
		}
		// An overlay cannot be laid over another one, as a container's root may be.
		below := mount(t, "tmpfs", "")
		for _, part := range []string{"lower", "upper", "work"} {
			mustMkdir(t, filepath.Join(below, part))
		}
		run("mount", "-t", "overlay", "-o",
			"lowerdir="+below+"/lower,upperdir="+below+"/upper,workdir="+below+"/work", "none", target)
	default:
		image := filepath.Join(dir, "image")
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(image, 320<<20); err != nil { // as much as XFS needs
			t.Fatal(err)
		}
		testenv.Need(t, "mkfs."+kind)
		if out, err := exec.Command("mkfs."+kind, "-q", image).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.%s: %v: %s", kind, err, out)
		}
		run("mount", "-o", "loop", image, target)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", target, err)
		}
	})
	return target
}
