package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/redistest"
)

// The test binary is the program, too.
const programVariable = "FIFOLOCK_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if isWorker() || os.Getenv(programVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(redistest.Main(m))
}

// command is the program, with a directory for its temporary files.
func command(t *testing.T, args ...string) (c *exec.Cmd, temporary string) {
	temporary = t.TempDir()
	c = exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), programVariable+"=1", "TMPDIR="+temporary, "TMP="+temporary)
	return c, temporary
}

func wantEmpty(t *testing.T, directory string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// bar is a rect of the picture.
type bar struct {
	class       string
	y           string
	left, right float64
}

// bars reads a picture, all of which must be well-formed, and returns those
// bars that show a turn.
func bars(t *testing.T, file string) (bars []bar) {
	t.Helper()
	svg, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer svg.Close()
	for d := xml.NewDecoder(svg); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return bars
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		e, ok := token.(xml.StartElement)
		if !ok || e.Name.Local != "rect" {
			continue
		}
		attributes := map[string]string{}
		for _, a := range e.Attr {
			attributes[a.Name.Local] = a.Value
		}
		if attributes["height"] != strconv.Itoa(barHeight) {
			continue
		}
		left, _ := strconv.ParseFloat(attributes["x"], 64)
		length, err := strconv.ParseFloat(attributes["width"], 64)
		if err != nil || left < plotLeft || length < 0 || left+length > width-margin+0.01 {
			t.Errorf("a bar is outside of the plot: %v", e.Attr)
		}
		bars = append(bars, bar{attributes["class"], attributes["y"], left, left + length})
	}
}

func TestFair(t *testing.T) {
	for name, flags := range map[string][]string{"file": nil, "redis": {"-redis", redistest.Addr(t)}} {
		t.Run(name, func(t *testing.T) {
			picture := filepath.Join(t.TempDir(), "picture.svg")
			c, temporary := command(t, append(flags, "-procs", "3", "-rounds", "4", "-hold", "10ms", "-out", picture)...)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			wantEmpty(t, temporary)
			if want := "held 12 times, 0 overtaken"; !strings.Contains(string(out), want) {
				t.Errorf("it does not say %q:\n%s", want, out)
			}
			var holds []bar
			lanes := map[string]int{}
			for _, b := range bars(t, picture) {
				lanes[b.y]++
				if b.class == "hold" {
					holds = append(holds, b)
				}
			}
			if len(lanes) != 3 || len(holds) != 12 {
				t.Errorf("%d lanes and %d holds, want 3 and 12", len(lanes), len(holds))
			}
			for y, n := range lanes {
				if n != 8 {
					t.Errorf("%d bars at height %s, want 4 waits and 4 holds", n, y)
				}
			}
			slices.SortFunc(holds, func(a, b bar) int { return int(a.left*1000) - int(b.left*1000) })
			const rounding = 0.002
			for i := range holds[1:] {
				if holds[i+1].left < holds[i].right-rounding {
					t.Errorf("the picture shows two holders at a time: %v, %v", holds[i], holds[i+1])
				}
			}
		})
	}
}

func TestUnfair(t *testing.T) {
	picture := filepath.Join(t.TempDir(), "picture.svg")
	c, temporary := command(t, "-procs", "3", "-rounds", "3", "-hold", "10ms", "-unfair", "-out", picture)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantEmpty(t, temporary)
	if n := len(bars(t, picture)); n != 2*2*9 {
		t.Errorf("%d bars, want 36", n)
	}
	for _, title := range titles {
		if !strings.Contains(string(out), title+": held 9 times") {
			t.Errorf("it does not tell of %q:\n%s", title, out)
		}
	}
}

func TestInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals here")
	}
	picture := filepath.Join(t.TempDir(), "picture.svg")
	c, temporary := command(t, "-hold", "1h", "-out", picture)
	stderr, err := c.StderrPipe() // the workers have it, too
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for { // until it has begun
		if entries, err := os.ReadDir(temporary); len(entries) > 0 || err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.Process.Signal(os.Interrupt)
	said, _ := io.ReadAll(stderr) // ends when all of them have ended
	c.Wait()
	if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(said), "timeline: interrupted\n") {
		t.Errorf("%v, and said %s", c.ProcessState, said)
	}
	wantEmpty(t, temporary)
	if _, err := os.Stat(picture); err == nil {
		t.Error("there is a picture")
	}
}

func TestErrors(t *testing.T) {
	for words, args := range map[string][]string{
		"-procs must be":   {"-procs", "0"},
		"-rounds from":     {"-rounds", "0"},
		"above 0":          {"-hold", "0"},
		"unexpected":       {"surplus"},
		"-surplus":         {"-surplus"},
		"lock: lock redis": {"-redis", "127.0.0.1:1"},
		"missing/p.svg":    {"-rounds", "1", "-hold", "1ms", "-out", filepath.Join(t.TempDir(), "missing", "p.svg")},
	} {
		c, temporary := command(t, args...)
		out, _ := c.CombinedOutput()
		if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), filepath.FromSlash(words)) {
			t.Errorf("timeline %v: %v, want exit code 1 and %q:\n%s", args, c.ProcessState, words, out)
		}
		wantEmpty(t, temporary)
	}
}

// TestJudgement: what is wrong with a lock is seen.
func TestJudgement(t *testing.T) {
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	first := turn{1, 1, at(0), at(1), at(2), at(10)}
	waits := turn{2, 1, at(3), at(4), at(30), at(40)}
	later := turn{3, 1, at(5), at(6), at(11), at(20)}
	tooEarly := turn{3, 1, at(5), at(6), at(9), at(20)}
	abreast := turn{3, 1, at(3), at(6), at(11), at(20)} // not known who was first

	if r := (run{turns: []turn{first, later, waits}}); r.overlaps() != 0 || len(r.overtaken()) != 1 || !r.overtaken()[waits] {
		t.Errorf("%d overlaps, overtaken %v, want that one is overtaken", r.overlaps(), r.overtaken())
	}
	if r := (run{turns: []turn{first, abreast, waits}}); r.overlaps() != 0 || len(r.overtaken()) != 0 {
		t.Errorf("%d overlaps, overtaken %v, want none", r.overlaps(), r.overtaken())
	}
	if r := (run{turns: []turn{first, tooEarly}}); r.overlaps() != 1 {
		t.Errorf("%d overlaps, want 1", r.overlaps())
	}
	if r := (run{turns: []turn{first}}); r.overlaps() != 0 || len(r.overtaken()) != 0 {
		t.Error("one turn alone is judged wrong")
	}
}

func TestRoundStep(t *testing.T) {
	for least, want := range map[time.Duration]time.Duration{
		1:                      time.Millisecond,
		3 * time.Millisecond:   5 * time.Millisecond,
		51 * time.Millisecond:  100 * time.Millisecond,
		120 * time.Millisecond: 200 * time.Millisecond,
	} {
		if got := roundStep(least); got != want {
			t.Errorf("roundStep(%v) is %v, want %v", least, got, want)
		}
	}
}
