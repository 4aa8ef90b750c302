package campaign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What go test says of tests that passed, failed and were skipped, with and without
// subtests, becomes the figures.
func TestReport(t *testing.T) {
	var seen tally
	if err := seen.read(strings.NewReader(`{"Action":"run","Test":"TestX01A"}
{"Action":"output","Test":"TestX01A/file","Output":"    x.go:1: file /q: 12 grants, 3 lost, 2 workers killed, 1 waiters evicted, 4 calls failed, 5 stale writes refused, 1 undecided, 0 problems\n"}
{"Action":"pass","Test":"TestX01A/file"}
{"Action":"pass","Test":"TestX01A"}
{"Action":"output","Test":"TestR23B","Output":"    y.go:2: failover: 127.0.0.1:1 is the primary\n"}
{"Action":"output","Test":"TestR23B","Output":"    y.go:3: redis q: 30 grants, 0 lost, 40 workers killed, 0 waiters evicted, 0 calls failed, 0 stale writes refused, 0 undecided, 6 problems\n"}
{"Action":"fail","Test":"TestR23B"}
{"Action":"skip","Test":"TestF29C"}
{"Action":"skip","Test":"TestF33D/ext4/full"}
{"Action":"skip","Test":"TestF33D/xfs"}
{"Action":"pass","Test":"TestF33D"}
{"Action":"pass","Test":"TestA01E"}
{"Action":"fail","Test":"TestA01F/redis"}
{"Action":"fail","Test":"TestA01F"}
{"Action":"skip","Test":"TestA02G/redis"}
{"Action":"pass","Test":"TestA02G/file"}
{"Action":"pass","Test":"TestA02G"}
{"Action":"pass","Test":""}
`)); err != nil {
		t.Fatal(err)
	}
	e := event{Action: "output", Test: "TestR23B", Output: "    y.go:4: two own\n"}
	if seen.add(e); seen.add(event{Action: "fail", Test: "TestR23B"}) != e.Output {
		t.Error("what a test has said that fails is not shown")
	}
	cases := []fault{{"X01", []string{"TestX01A"}}, {"R23", []string{"TestR23B"}}, {"F29", []string{"TestF29C"}}, {"X25", nil},
		{"F33", []string{"TestF33D"}}, {"A01", []string{"TestA01E", "TestA01F"}}, {"A02", []string{"TestA02G"}}}
	text := seen.report(cases, time.Unix(0, 0), time.Minute)
	for _, want := range []string{
		"on 1970-01-01: 1m0s",
		"2 of 7 (the table says why not: R23, F29, X25, F33, A01)",
		"detectors | 2 |", "entered | 42 |", "SIGKILL | 42 |", "primary | 1 |", "said so | 3 |",
		"another | 1 |", "error | 4 |", "refused | 5 |", "linearizable | 1 |", "**6**", "failed | TestA01F, TestR23B |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// The document in the repository has its marks, and all of its cases are known.
func TestDocuments(t *testing.T) {
	const root = "../../../"
	cases, err := readCases(root + "docs/faults.md")
	if err != nil || len(cases) < 131 {
		t.Errorf("%d cases, %v; want 131 and more", len(cases), err)
	}
	text, err := os.ReadFile(root + document)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy.md")
	if err := os.WriteFile(copied, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeBetween(copied, "figures\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(copied)
	if err != nil || !strings.Contains(string(got), beginMark+"figures\n"+endMark) {
		t.Errorf("%v: the figures are not in\n%s", err, got)
	}
}
