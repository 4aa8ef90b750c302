// Command wine runs tests of this module, compiled for Windows, on a machine
// that has Wine and no Windows:
//
//	go run ./internal/wine                        # what is known to work
//	go run ./internal/wine -run Seq ./queue/filequeue      # or some of it
//
// It installs nothing. It needs 64-bit Wine (Debian: apt-get install
// --no-install-recommends wine64). It keeps the files of Wine in a temporary directory,
// and ends the server of Wine.
//
// Wine is not Windows: what passes here has been seen to work with the system
// calls of Windows as Wine understands them. Two things are done to let Go 1.26
// run in Wine 8, which Debian 12 has:
//
//   - Go asks bcryptprimitives.dll for random numbers. Where Wine has none, it is
//     given one that passes the call on to advapi32.dll; see dll.go.
//   - Package os removes files in the way of Windows 10, and in that of older
//     ones where the system says that it does not know the new way. Wine 8 says
//     so in other words. The tests are compiled to use the older way, by an
//     overlay that sets the variable with which package os tests it.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// suite is a package and which of its tests are run unless told otherwise. Those
// on Redis are about a server, and not about Windows.
type suite struct{ dir, run string }

var suites = []suite{
	{"queue/memqueue", "."},
	{"queue/filequeue", "."},
	{"lock", "^(TestMemory|TestSixMethods|TestFile|TestMutex|TestTrace)"},
}

func main() {
	run := flag.String("run", "", "run only the tests that match")
	verbose := flag.Bool("v", false, "list the tests")
	limit := flag.Duration("timeout", 5*time.Minute, "how long the tests of one package may take")
	flag.Parse()
	if err := work(*run, *verbose, *limit, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "wine:", err)
		os.Exit(1)
	}
}

func work(run string, verbose bool, limit time.Duration, dirs []string) error {
	wine, server, err := find()
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "fifolock-wine")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	w := &runner{wine: wine, server: server, scratch: scratch}
	w.endOnSignal()
	defer w.end()
	if err := w.prepare(); err != nil {
		return err
	}
	failed := 0
	for _, s := range chosen(dirs, run) {
		if err := w.test(s, verbose, limit); err != nil {
			fmt.Fprintf(os.Stderr, "wine: %s: %v\n", s.dir, err)
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("the tests of %d packages failed", failed)
	}
	return nil
}

// chosen are the suites that were asked for.
func chosen(dirs []string, run string) []suite {
	var all []suite
	for _, dir := range dirs {
		all = append(all, suite{filepath.Clean(dir), "."})
	}
	if len(dirs) == 0 {
		all = slices.Clone(suites)
	}
	for i := range all {
		if run != "" {
			all[i].run = run
		}
	}
	return all
}

// find looks for Wine where Debian and others put it.
func find() (wine, server string, err error) {
	if runtime.GOARCH != "amd64" {
		return "", "", errors.New("the tests are compiled for amd64, which Wine does not emulate")
	}
	wine, server = first("wine64", "/usr/lib/wine/wine64", "wine"), first("wineserver64", "/usr/lib/wine/wineserver64", "/usr/lib/wine/wineserver", "wineserver")
	if wine == "" || server == "" {
		return "", "", errors.New("there is no 64-bit Wine here; on Debian: apt-get install --no-install-recommends wine64")
	}
	return wine, server, nil
}

func first(programs ...string) string {
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	return ""
}

// runner runs programs for Windows.
type runner struct {
	wine, server string
	scratch      string // has the Wine prefix, the overlay and the programs
	overlay      string
}

func (w *runner) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(),
		"WINEPREFIX="+filepath.Join(w.scratch, "prefix"),
		"WINEDEBUG=-all",
		"WINEDLLOVERRIDES=mscoree,mshtml=", // else it asks to install them
		"DISPLAY=",
		"FIFOLOCK_WINE=1",
	)
	cmd.Stderr = os.Stderr
	return cmd
}

// prepare makes a Wine prefix and the overlay.
func (w *runner) prepare() error {
	boot := w.command(w.wine, "wineboot", "--init")
	boot.Stderr = nil // the prefix is for 64 bits only, of which it complains
	if err := boot.Run(); err != nil {
		return fmt.Errorf("making a Wine prefix: %w", err)
	}
	library := filepath.Join(w.scratch, "prefix", "drive_c", "windows", "system32", "bcryptprimitives.dll")
	if _, err := os.Stat(library); errors.Is(err, os.ErrNotExist) {
		dll := forwardingDLL("bcryptprimitives.dll", "ProcessPrng", "ADVAPI32.SystemFunction036")
		if err := os.WriteFile(library, dll, 0o644); err != nil {
			return err
		}
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	source := filepath.Join(w.scratch, "fallback.go")
	if err := os.WriteFile(source, []byte("package windows\n\nfunc init() { TestDeleteatFallback = true }\n"), 0o644); err != nil {
		return err
	}
	added := filepath.Join(strings.TrimSpace(string(goroot)), "src", "internal", "syscall", "windows", "fallback_wine.go")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{added: source}})
	if err != nil {
		return err
	}
	w.overlay = filepath.Join(w.scratch, "overlay.json")
	return os.WriteFile(w.overlay, text, 0o644)
}

// test compiles and runs the tests of a package, in its directory as go test does.
func (w *runner) test(s suite, verbose bool, limit time.Duration) error {
	began := time.Now()
	program := filepath.Join(w.scratch, strings.ReplaceAll(s.dir, "/", "-")+".test.exe")
	compile := exec.Command("go", "test", "-c", "-overlay", w.overlay, "-o", program, "./"+s.dir)
	compile.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	compile.Stderr = os.Stderr
	if err := compile.Run(); err != nil {
		return fmt.Errorf("compiling: %w", err)
	}
	compiled := time.Now()
	cmd := w.command(w.wine, program, "-test.run", s.run, "-test.timeout", limit.String(), fmt.Sprint("-test.v=", verbose))
	cmd.Dir, cmd.Stdout = s.dir, os.Stdout
	if err := cmd.Run(); err != nil {
		return err
	}
	fmt.Printf("ok\t%s\tcompiled in %v, ran in %v\n", s.dir,
		compiled.Sub(began).Round(time.Second/10), time.Since(compiled).Round(time.Second/10))
	return nil
}

// end ends Wine's server, and with it whatever still runs in the prefix.
func (w *runner) end() {
	_ = w.command(w.server, "-k").Run() // an error: there was none
	_ = w.command(w.server, "-w").Run()
}

// endOnSignal makes an interrupted run leave nothing behind.
func (w *runner) endOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		w.end()
		os.RemoveAll(w.scratch)
		os.Exit(130)
	}()
}
