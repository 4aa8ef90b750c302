package report

import (
	"bytes"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// results has three repetitions of two peers; the machine was half as fast in
// the second.
func results() *Results {
	r := &Results{Cases: []Case{{Goroutines64, "64 goroutines"}}}
	for repetition, speed := range []float64{1, 0.5, 1} {
		r.Add(Record{Case: Goroutines64, Peer: peer.FifolockRedis, Repetition: repetition, Figures: map[string]float64{
			"acquisitions_per_s": 3000 * speed, "wait_max_us": 10 / speed, "overtaking_grants": 1,
		}})
		r.Add(Record{Case: Goroutines64, Peer: peer.Redislock1ms, Repetition: repetition, Figures: map[string]float64{
			"acquisitions_per_s": 1000 * speed,
		}})
	}
	return r
}

func TestValue(t *testing.T) {
	r := results()
	for figure, want := range map[string]float64{"acquisitions_per_s": 3000, "wait_max_us": 20, "overtaking_grants": 3} {
		if got := r.Value(Goroutines64, peer.FifolockRedis, figure); got != want {
			t.Errorf("%s = %v, want %v", figure, got, want)
		}
	}
	if got := r.Value(Goroutines64, "nobody", "acquisitions_per_s"); !math.IsNaN(got) {
		t.Errorf("the figure of nobody = %v, want NaN", got)
	}
}

func TestRatioIsThatOfEachRepetition(t *testing.T) {
	if got := results().Ratio(Goroutines64, "acquisitions_per_s", peer.FifolockRedis, peer.Redislock1ms); got != 3 {
		t.Errorf("ratio %v, want 3", got)
	}
}

func TestSaveAndLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "raw.json")
	r := results()
	if err := r.Save(file); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	var before, after bytes.Buffer
	if err := r.WriteTables(&before); err != nil {
		t.Fatal(err)
	}
	if err := loaded.WriteTables(&after); err != nil {
		t.Fatal(err)
	}
	if before.String() != after.String() || before.Len() == 0 {
		t.Error("tables of what was loaded differ from those of what was saved")
	}
}

func TestTables(t *testing.T) {
	var b bytes.Buffer
	if err := results().WriteTables(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| bsm/redislock, polls every 1 ms |  | 0.33 × | 1,000 |",
		"to the fastest of all peers on a server (bsm/redislock, polls every 1 ms) | 3.00 × | 3.00 × to 3.00 × | ≥ 3.00 × | yes |",
		"to a bare `SET NX` and `DEL`, each in a loop of its own | – | – | ≤ 1.15 × | not measured |",
		"1 of 41 are reached, 0 are missed, 40 were not measured.",
		"Most acquisitions/s of the other locks: bsm/redislock, polls every 1 ms on a server.",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the tables have no %q:\n%s", want, b.String())
		}
	}
}

func TestBenchmarkFormat(t *testing.T) {
	var b bytes.Buffer
	if err := results().WriteBenchmarkFormat(&b); err != nil {
		t.Fatal(err)
	}
	const want = "BenchmarkCompare/case=goroutines-64/peer=redislock-1ms 1\t1000 acquisitions-per-s\n"
	if !strings.Contains(b.String(), want) {
		t.Errorf("no line %q in:\n%s", want, b.String())
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 8: "8", 0.012: "0.012", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{12: "12.0 µs", 4200: "4.20 ms", 7e6: "7.00 s"} {
		if got := duration(v); got != want {
			t.Errorf("%v µs are written %q, want %q", v, got, want)
		}
	}
}

// A run that failed has no figures, and its aims are missed.
func TestAimOfARunThatFailed(t *testing.T) {
	r := results()
	r.Add(Record{Case: Goroutines64, Peer: peer.FifolockRedis, Repetition: 3, Error: "two had the lock at once"})
	r.Add(Record{Case: Line10000, Peer: peer.FifolockFile, Error: "lock: no space left"})
	for _, a := range r.aims() {
		about64, about10000 := strings.HasPrefix(a.what, "Redis, 64 goroutines, empty section"), strings.HasPrefix(a.what, "file, 10,000 waiters")
		if (about64 || about10000) && a.met() != missed {
			t.Errorf("%s: reached is %q, want %q", a.what, a.met(), missed)
		}
	}
}

// A figure that one of the repetitions does not have is none, and the longest is there in
// place of a 99th percentile.
func TestTooFewSamples(t *testing.T) {
	r := &Results{Cases: []Case{{Line10, "10 waiters"}}}
	r.Add(Record{Case: Line10, Peer: peer.FifolockFile, Repetition: 0, Figures: map[string]float64{"hand_off_p99_us": 1, "hand_off_max_us": 2}})
	r.Add(Record{Case: Line10, Peer: peer.FifolockFile, Repetition: 1, Figures: map[string]float64{"hand_off_max_us": 3}})
	if got := r.Value(Line10, peer.FifolockFile, "hand_off_p99_us"); !math.IsNaN(got) {
		t.Errorf("a 99th percentile of %v, want none", got)
	}
	var b bytes.Buffer
	if err := r.WriteTables(&b); err != nil {
		t.Fatal(err)
	}
	if want := "| **fifolock in files** | yes | 3.00 µs (max) |"; !strings.Contains(b.String(), want) {
		t.Errorf("no %q in:\n%s", want, b.String())
	}
}

func TestCommand(t *testing.T) {
	f := Facts{Quick: true, Repetitions: 3, Earlier: "v1.0.0", Only: "line-10/"}
	if got, want := f.command(), "go run ./cmd/compare -quick -repetitions 3 -earlier v1.0.0 -only 'line-10/'"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFactsOfThisMachine(t *testing.T) {
	f := GatherFacts(nil)
	f.End()
	if f.LoadBefore == "" || f.LoadAfter == "" || f.began.all == 0 || f.StolenPercent < 0 || f.StolenPercent > 100 {
		t.Errorf("%+v", f)
	}
}
