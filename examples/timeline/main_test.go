package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

func TestMain(m *testing.M) { programtest.Main(m, main, redistest.Main) }

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
			out := programtest.Run(t, append(flags, "-procs", "3", "-rounds", "4", "-hold", "10ms", "-out", picture)...)
			if want := "held 12 times, 0 overtaken"; !strings.Contains(out, want) {
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
	if err := os.WriteFile(picture, bytes.Repeat([]byte("longer than a picture\n"), 10000), 0o600); err != nil {
		t.Fatal(err)
	}
	out := programtest.Run(t, "-procs", "3", "-rounds", "3", "-hold", "10ms", "-unfair", "-out", picture)
	if n := len(bars(t, picture)); n != 2*2*9 {
		t.Errorf("%d bars, want 36", n)
	}
	for _, title := range []string{order{}.title(), order{Polled: "x"}.title()} {
		if !strings.Contains(out, title+": held 9 times") {
			t.Errorf("it does not tell of %q:\n%s", title, out)
		}
	}
}

// awaitLine waits until a worker of the program is in line.
func awaitLine(t *testing.T, p *programtest.Process, there func() bool) {
	t.Helper()
	for !there() {
		select {
		case <-p.Ended():
			t.Fatalf("it has ended before any was in line:\n%s", p.Stderr)
		case <-time.After(time.Millisecond):
		}
	}
}

// hasKeys is the condition that the queue has keys.
func hasKeys(t *testing.T, name string) func() bool {
	client := redistest.Client(t)
	return func() bool { return len(redistest.Keys(t, client, name)) > 0 }
}

func TestInterrupted(t *testing.T) {
	testenv.NeedSignals(t)
	picture := filepath.Join(t.TempDir(), "picture.svg")
	name := redistest.Name(t)
	p := programtest.Start(t, "-hold", "100ms", "-rounds", "1000", "-procs", "2", "-out", picture, "-redis", redistest.Addr(t), "-name", name)
	awaitLine(t, p, hasKeys(t, name))
	p.Process.Signal(os.Interrupt)
	p.WantExit(cli.ExitFailed, "timeline: interrupted\n")
	if _, err := os.Stat(picture); err == nil {
		t.Error("there is a picture")
	}
	if left := redistest.Keys(t, redistest.Client(t), name); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestTicketLeavesFirst: the ticket of an interrupted wait is out of the line before its worker
// ends, also where that takes longer than the lock waits for it, as on a server that does not
// know the script. The same of one whose registration was not answered yet.
func TestTicketLeavesFirst(t *testing.T) {
	testenv.NeedSignals(t)
	const stillThere = 100 * time.Millisecond
	const registered = "*5\r\n$2\r\nok" // how the answer to a registration behind others begins
	for name, delayed := range map[string]string{"waiting": "", "registering": registered} {
		t.Run(name, func(t *testing.T) {
			name := redistest.Name(t)
			server := redistest.StartServer(t)
			client := server.Client()
			holder := lock.New(redisqueue.New(client, name))
			if err := holder.Lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer holder.Unlock()
			network := redistest.NewProxy(t, server.Addr)
			arrive := func() {}
			if delayed != "" {
				_, arrive = network.DelayReplies(delayed)
			}
			inLine := func() int64 { return client.ZCard(t.Context(), "{"+name+"}:queue").Val() }

			p := programtest.Start(t, "-procs", "1", "-out", filepath.Join(t.TempDir(), "picture.svg"), "-redis", network.Addr, "-name", name, "-lease", "1h")
			awaitLine(t, p, func() bool { return inLine() == 2 })
			if err := client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			_, answer := network.DelayReplies("NOSCRIPT")
			p.Process.Signal(os.Interrupt)
			select {
			case <-p.Ended():
			case <-time.After(stillThere):
			}
			arrive()
			answer()
			p.WantExit(cli.ExitFailed, "timeline: interrupted\n")
			if n := inLine(); n != 1 {
				t.Errorf("%d are in line, want the holder alone", n)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	programtest.WantRefused(t, cli.ExitUsage,
		programtest.Refusal{Words: "from 1 to 100", Args: []string{"-procs", "0"}},
		programtest.Refusal{Words: "from 1 to 1000", Args: []string{"-rounds", "0"}},
		programtest.Refusal{Words: "above 0", Args: []string{"-hold", "0"}},
		programtest.Refusal{Words: "-lease is for -redis", Args: []string{"-lease", "1s"}},
		programtest.Refusal{Words: "surplus", Args: []string{"surplus"}},
	)
	there := filepath.Join(t.TempDir(), "there.svg")
	missing := filepath.Join(t.TempDir(), "missing", "p.svg")
	if err := os.WriteFile(there, []byte("the picture of before"), 0o600); err != nil {
		t.Fatal(err)
	}
	programtest.WantRefused(t, cli.ExitFailed,
		programtest.Refusal{Words: "127.0.0.1:1", Args: []string{"-redis", "127.0.0.1:1", "-out", there}},
		programtest.Refusal{Words: missing, Args: []string{"-hold", "1h", "-out", missing}}, // before it begins
	)
	if text, err := os.ReadFile(there); err != nil || string(text) != "the picture of before" {
		t.Errorf("without a run, the picture of before is %q, %v", text, err)
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
	abreast := turn{3, 1, at(3), at(6), at(11), at(20)} // it is not known which was first

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
