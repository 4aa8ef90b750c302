//go:build linux

package fuzz

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// FuzzDirectory edits the directory of a queue while tickets are taken and given back.
// After any edits nothing panics or hangs, tickets that were left alone are served in
// order, nothing outside the directory is touched, nothing stays open, and a queue that
// was put in order works.
func FuzzDirectory(f *testing.F) {
	for _, code := range directoryPrograms {
		f.Add([]byte(code))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		d := newDirectoryTest(t)
		p := newProgram(code)
		for !p.over() {
			d.step(p)
		}
		d.finish()
	})
}

// directoryPrograms are what is known to be difficult, in the words of step and name.
var directoryPrograms = []string{
	"",
	"\x00\x00\x00\x01\x00\x01\x01\x01\x02",         // three come and go
	"\x00\x04\x00\x00\x01\x00",                     // seq is removed
	"\x06\x00\x00\x00",                             // seq is a link to a file
	"\x00\x04\x00\x06\x00\x00\x00",                 // the same in a directory in use
	"\x09\x00\x00",                                 // seq is a FIFO
	"\x08\x00\x00",                                 // seq is a directory
	"\x07\x00\x00\x00",                             // seq is a hard link
	"\x00\x04\x00\x07\x00\x00\x00\x00",             // the same in a directory in use
	"\x00\x0d\x00",                                 // the directory is removed
	"\x00\x0e\x00\x00",                             // the directory is moved away
	"\x00\x0e\x01\x00",                             // and another one is there
	"\x00\x0e\x02\x00",                             // and a file
	"\x00\x0e\x03\x00",                             // and a link to nothing
	"\x00\x16\x01\x00\x14\x01\x00",                 // a stranger in front
	"\x03\x01\x05hello\x00",                        // a dead ticket in front
	"\x00\x00\x00\x04\x0a\x01\x02",                 // a ticket in the middle is removed
	"\x00\x00\x05\x08\x09\x00",                     // a ticket is renamed to another
	"\x00\x0c\x00\x00\x01\x00\x00",                 // seq says almost the highest number
	"\x00\x0c\x00\x00\x04\x00\x00\x04\x00\x00\x12", // seq was ahead of the clock, and is gone
	"\x00\x0c\x00\x00\x02\x00\x00\x12",             // seq says what was long ago
	"\x00\x0b\x00\x03\x00",                         // seq is huge
	"\x16\x02\x00\x04\x02\x00",                     // a stranger near the end of all numbers
}

type directoryTest struct {
	candidates
	base, dir, canary string
	before            map[string]string // of the canary
	strangers         []*os.File
	chmodded          bool
	aside             int
}

func newDirectoryTest(t *testing.T) *directoryTest {
	d := &directoryTest{base: t.TempDir()}
	// The collector would close what was forgotten to be closed.
	percent := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	d.T = t
	d.dir = filepath.Join(d.base, "queue")
	d.canary = filepath.Join(d.base, "canary")
	d.q = filequeue.New(d.dir)
	d.excused = func(error) bool { return false }
	d.must(os.MkdirAll(filepath.Join(d.canary, "sub"), 0o750))
	d.must(os.WriteFile(filepath.Join(d.canary, "victim"), []byte("00000000000000000007\n"), 0o640))
	d.must(os.WriteFile(filepath.Join(d.canary, "sub", "other"), []byte("other"), 0o600))
	old := time.Unix(1_000_000_000, 0)
	for _, name := range []string{"victim", "sub/other", "sub", "."} {
		d.must(os.Chtimes(filepath.Join(d.canary, name), old, old))
	}
	d.before = d.describe(d.canary)
	return d
}

func (d *directoryTest) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// describe says what is in a directory, with contents, modes and times.
func (d *directoryTest) describe(dir string) map[string]string {
	all := make(map[string]string)
	d.must(filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		all[path] = fmt.Sprint(info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			all[path] += fmt.Sprintf(" %x", sha256.Sum256(content))
			return err
		}
		return nil
	}))
	return all
}

// name chooses the name of a file in the directory. 8 and up are tickets that
// were taken.
func (d *directoryTest) name(p *program) string {
	const id = ".1.0123456789abcdef0123456789abcdef"
	n := p.next() % 16
	if n >= 8 && len(d.all) > 0 {
		return d.all[n%len(d.all)].Member
	}
	switch n {
	case 0:
		return "seq"
	case 1:
		return "00000000000000000001" + id // long ago
	case 2:
		return fmt.Sprintf("%020d", int64(1)<<53-2) + id // one before the last
	case 3:
		return fmt.Sprintf("%020d", time.Now().Add(time.Hour).UnixMicro()) + id
	case 4:
		return fmt.Sprintf("%020d", d.last+1) + id
	case 5:
		return pick(p, ".nfs0001", "seq~", "99999999999999999999"+id, "sub", "00000000000000000001.1.X")
	}
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == 0 {
			return '_'
		}
		return r
	}, p.text())
	if name == "" || name == "." || name == ".." {
		return "x"
	}
	return name
}

// edited chooses a file to be changed.
func (d *directoryTest) edited(p *program) string {
	name := d.name(p)
	d.tamper(name)
	return filepath.Join(d.dir, name)
}

// ours reports whether a change of the file's content or mode stays in the
// directory: what the links lead to is not for the program to change.
func ours(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 1
}

// locked reports whether a process holds the flock on the file.
func locked(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

// move gives a file another name. A file that is locked does not become seq: its owner
// would have the seq lock.
func move(from, to string, how func(from, to string) error) {
	if filepath.Base(to) != "seq" || !locked(from) {
		_ = how(from, to)
	}
}

// step does one thing. That most edits fail is no matter.
func (d *directoryTest) step(p *program) {
	switch p.next() % 24 {
	case 0:
		d.register()
	case 1:
		if t := d.pick(p); t != nil {
			d.release(t)
		}
	case 2:
		d.others(p)
	case 3: // create
		path := d.edited(p)
		_ = os.MkdirAll(d.dir, 0o700)
		if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			_, _ = f.WriteString(p.text())
			f.Close()
		}
	case 4: // remove
		_ = os.RemoveAll(d.edited(p))
	case 5: // rename
		from, to := d.edited(p), d.edited(p)
		move(from, to, os.Rename)
	case 6: // symbolic link
		_ = os.MkdirAll(d.dir, 0o700)
		path := d.edited(p)
		target := pick(p, filepath.Join(d.canary, "victim"), d.canary, "nothing", path, ".", "seq", filepath.Join(d.canary, "new"), "..")
		_ = os.Symlink(target, path)
	case 7: // hard link
		_ = os.MkdirAll(d.dir, 0o700)
		from := filepath.Join(d.canary, "victim")
		if p.next()%2 == 1 {
			from = d.edited(p)
		}
		move(from, d.edited(p), os.Link)
	case 8: // directory
		_ = os.MkdirAll(d.dir, 0o700)
		path := d.edited(p)
		if os.Mkdir(path, 0o700) == nil { // and not where a link leads to
			_ = os.Mkdir(filepath.Join(path, "sub"), 0o700)
		}
	case 9: // FIFO
		_ = os.MkdirAll(d.dir, 0o700)
		_ = syscall.Mkfifo(d.edited(p), 0o600)
	case 10: // chmod
		if path := d.edited(p); ours(path) {
			d.chmodded = true
			_ = os.Chmod(path, fs.FileMode(p.next()*2)&0o777)
		}
	case 11: // truncate
		if path := d.edited(p); ours(path) {
			_ = os.Truncate(path, pick(p, int64(0), 5, 21, 1<<30))
		}
	case 12: // write
		if path := d.edited(p); ours(path) {
			text := pick(p, p.text(), fmt.Sprintf("%020d\n", int64(1)<<53-1), "00000000000000000001\n", "-0000000000000000005\n",
				fmt.Sprintf("%020d\n", time.Now().Add(time.Hour).UnixMicro()), "1ms\n", "-1h\n")
			if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteAt([]byte(text), int64(p.next()%4))
				f.Close()
			}
		}
	case 13: // remove the directory
		d.tamperAll()
		_ = os.RemoveAll(d.dir)
	case 14: // replace the directory
		d.tamperAll()
		d.aside++
		_ = os.Rename(d.dir, filepath.Join(d.base, fmt.Sprint("aside", d.aside)))
		switch p.next() % 4 {
		case 1:
			_ = os.Mkdir(d.dir, 0o700)
		case 2:
			_ = os.WriteFile(d.dir, nil, 0o600)
		case 3:
			_ = os.Symlink("nothing", d.dir)
		}
	case 15: // chmod of the directory: what others may write to is refused
		if info, err := os.Lstat(d.dir); err == nil && info.IsDir() {
			d.tamperAll()
			_ = os.Chmod(d.dir, pick(p, fs.FileMode(0o700), 0o777, 0o755, 0o500, 0))
		}
	case 16, 17: // times
		if path := d.edited(p); ours(path) {
			at := pick(p, time.Unix(0, 0), time.Now().Add(time.Hour), time.Now().Add(-time.Hour))
			_ = os.Chtimes(path, at, at)
		}
	case 18:
		d.wantOrder()
	case 19:
		if t := d.pick(p); t != nil {
			_, _ = queue.Position(d.Context(), d.q, t.Ticket)
			_ = queue.Refresh(d.Context(), d.q, t.Ticket)
		}
	case 20:
		d.wantWait(lock.New(d.q))
	default: // a stranger's ticket, alive
		path := d.edited(p)
		if filepath.Base(path) == "seq" {
			return // the holder of the seq lock is waited for
		}
		_ = os.MkdirAll(d.dir, 0o700)
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err == nil {
			d.must(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
			d.strangers = append(d.strangers, f)
		}
	}
}

// finish lets all leave, and checks what is left.
func (d *directoryTest) finish() {
	m := lock.New(filequeue.New(d.dir))
	d.wantOrder()
	d.wantWait(m)
	d.releaseTampered()
	for _, f := range d.strangers {
		f.Close()
	}
	// A ticket that may not be opened is not for us to judge, unless we are root.
	judged := !d.chmodded || os.Geteuid() == 0
	if judged {
		d.wantFirst()
	}
	for _, t := range d.untouched() {
		d.release(t)
	}
	if judged {
		d.wantLock(m)
	}
	d.must(os.RemoveAll(d.dir))
	if !d.wantLock(m) {
		d.Error("Lock fails although the directory was removed")
	}
	if _, err := os.Lstat(d.dir); err == nil {
		d.Error("the directory is there after the last Unlock")
	}
	d.wantNothingOpen()
	if after := d.describe(d.canary); !maps.Equal(d.before, after) {
		d.Errorf("outside of the directory there was\n%v\nand now is\n%v", d.before, after)
	}
	entries, err := os.ReadDir(d.base)
	d.must(err)
	for _, e := range entries {
		if e.Name() != "canary" && !strings.HasPrefix(e.Name(), "aside") {
			d.Errorf("%s was made beside the directory", e.Name())
		}
	}
}

// wantNothingOpen waits until no descriptor leads to where the test has worked.
func (d *directoryTest) wantNothingOpen() {
	d.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		open := openBelow(d.base)
		if len(open) == 0 {
			return
		}
		if time.Since(began) > patience {
			d.Fatalf("still open: %v", open)
		}
	}
}

func openBelow(dir string) (open []string) {
	descriptors, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range descriptors {
		if path, err := os.Readlink(fd); err == nil && strings.HasPrefix(path, dir+"/") {
			open = append(open, path)
		}
	}
	return open
}
