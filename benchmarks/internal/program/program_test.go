package program

import (
	"testing"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

func TestMeasure(t *testing.T) {
	m, err := Measure(t.Context(), peer.FifolockFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", m)
	if m.Packages <= m.Other || m.Other == 0 || m.Bytes < 1<<20 {
		t.Errorf("%+v: that is no program with a lock", m)
	}
	if m.GoRedis != 0 {
		t.Errorf("a program with a file lock has %d packages of go-redis", m.GoRedis)
	}
}
