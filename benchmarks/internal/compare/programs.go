package compare

import (
	"context"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/program"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

// programs is what a program is like that does nothing but lock and unlock.
func programs() testCase {
	return testCase{
		Case:   report.Case{Name: report.Program, About: "A program that locks once and unlocks: the packages that are compiled into it, those of the standard library among them, and its size as `go build` makes it."},
		fits:   func(p peer.Peer) bool { return program.Has(p.Name) },
		atMost: 1,
		run: func(ctx context.Context, _ *comparison, _ testCase, p peer.Peer) (map[string]float64, error) {
			m, err := program.Measure(ctx, p.Name)
			if err != nil {
				return nil, err
			}
			return map[string]float64{
				"packages":       float64(m.Packages),
				"other_packages": float64(m.Other),
				"with_go_redis":  float64(m.GoRedis),
				"program_bytes":  float64(m.Bytes),
			}, nil
		},
	}
}
