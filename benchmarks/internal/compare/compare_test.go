package compare

import (
	"os"
	"regexp"
	"testing"

	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

func TestMain(m *testing.M) {
	load.BeWorker()
	os.Exit(m.Run())
}

// TestRun runs the cases with a lock that needs no server, but those that are
// long.
func TestRun(t *testing.T) {
	only := regexp.MustCompile(`^(uncontended|uncontended-in-turn|goroutines-(8|64|512)|line-(10|100|1000))/fifolock-memory$|^(recovery|processes-4x4|door-2x1)/fifolock-file$|^semaphore-64/sync-semaphore$`)
	r, err := Run(t.Context(), Options{Quick: true, Repetitions: 1, Only: only, Progress: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range r.Records {
		if record.Error != "" {
			t.Errorf("%s of %s: %s", record.Case, record.Peer, record.Error)
		}
		if record.Figures["overtaking_grants"] != 0 {
			t.Errorf("%s of %s: a fair lock has %v overtakes", record.Case, record.Peer, record.Figures["overtaking_grants"])
		}
	}
	if len(r.Records) != 12 {
		t.Errorf("%d records, want one for each of twelve cases", len(r.Records))
	}
	if !r.Has(report.Goroutines64, peer.FifolockMemory) {
		t.Errorf("no figures of %s", report.Goroutines64)
	}
}

func TestRotated(t *testing.T) {
	peers := peer.All()
	first := make(map[string]bool)
	for repetition := range 3 {
		order := rotated(peers, repetition, 3)
		first[order[0].Name] = true
		if len(order) != len(peers) {
			t.Errorf("%d of %d peers take part in repetition %d", len(order), len(peers), repetition)
		}
	}
	if len(first) != 3 {
		t.Errorf("three repetitions begin with %v, want three peers", first)
	}
}
