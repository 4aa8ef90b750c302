// Package faulttest holds the tests that break what a lock stands on: they kill
// and stop its owners, fill its disk, cut its network, restart its server, and
// see whether it does what it promises.
//
// Every test that is one of the cases of docs/faults.md has the case's name in
// its own: TestX03KillHolder. The quick ones run with go test. The long ones run
// with a budget of time:
//
//	go test ./internal/faulttest -torture 60s
//
// What a random test did can be done again with -harness.seed. The tests are for
// Linux; those that need root, strace or redis-server are skipped without it,
// and say so.
package faulttest
