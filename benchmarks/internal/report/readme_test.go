package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

func TestUpdateReadme(t *testing.T) {
	r := &Results{Facts: Facts{Date: "today", Repetitions: 3}}
	for repetition, speed := range []float64{1, 2, 1} {
		add := func(name string, overtaking, wait float64) {
			r.Add(Record{Case: Goroutines16Held, Peer: name, Repetition: repetition, Figures: map[string]float64{
				"overtaking_percent": overtaking, "wait_max_us": wait / speed,
			}})
		}
		add(peer.FifolockRedis, 0, 80_000)
		add(peer.Redislock1ms, 95, 400_000)
		add(peer.FifolockFile, 0, 80_000)
		add(peer.SetNX, 0, 1) // a limit is no lock to use instead
	}
	file := filepath.Join(t.TempDir(), "README.md")
	const before, after = "text\n\n" + figuresBegin, figuresEnd + "\nmore\n"
	if err := os.WriteFile(file, []byte(before+"outdated\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
	var last string
	for range 2 {
		if err := r.UpdateReadme(file); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		if !strings.HasPrefix(text, before+"\nMeasured on today") || !strings.HasSuffix(text, " |\n\n"+after) {
			t.Errorf("not between the marks:\n%s", text)
		}
		for _, want := range []string{
			"| **fifolock on Redis** | 0 % | 80.0 ms | – |",
			"| bsm/redislock, polls every 1 ms | 95.0 % | 400 ms | – |",
			"| **fifolock in files** | 0 % |",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in:\n%s", want, text)
			}
		}
		if strings.Contains(text, "SET NX") || strings.Contains(text, "outdated") {
			t.Errorf("too much in:\n%s", text)
		}
		if last != "" && text != last {
			t.Errorf("twice the same gives another:\n%s", text)
		}
		last = text
	}
}

func TestUpdateReadmeNeedsItsMarks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	const text = figuresEnd + figuresBegin
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&Results{}).UpdateReadme(file); err == nil {
		t.Error("no error without the marks")
	}
	if content, _ := os.ReadFile(file); string(content) != text {
		t.Errorf("changed to:\n%s", content)
	}
}
