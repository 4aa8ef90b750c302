// Package benchmarks measures fifolock beside other locks. Its ordinary
// benchmarks run with go test -bench; the comparison that makes the tables and
// pictures in results runs with go run ./cmd/compare. README.md says what is
// measured, how, and how to read it.
//
// It is a module of its own, so that the peers it compares with never enter
// the module graph of a user of fifolock. It runs on Linux.
package benchmarks

//go:generate go run ./cmd/compare -from results/raw.json -out results
