// Package faulttest has what the tests of the faults share. The tests are in the
// packages below it. They break what a lock stands on: they kill and stop its
// owners, fill its disk, cut its network, restart its server, and see whether it
// does what it promises.
//
//	contention  many processes, many goroutines, killed and stopped at random
//	process     what may become of the process that holds or waits
//	call        what may become of a call: its ctx, its replies, a Mutex misused
//	file        a directory, its file system, and what the kernel refuses
//	server      a Redis server that restarts, forgets, refuses, and is replaced; the
//	            connections to it; Sentinel, the shards of a Ring, and a Cluster
//	fuzz        anything that another program may have put there
//
// Each has a process of its own, so that they run side by side, and ten times in
// a row within the ten minutes that go test gives a package.
//
// Every test that is one of the cases of docs/faults.md has the case's name in
// its own: TestX03KillHolder. The quick ones run with go test. The long ones run
// with a budget of time:
//
//	go test ./internal/faulttest/... -torture 60s
//
// What a random test did can be done again with -harness.seed. The tests are for
// Linux; those that need root, strace or redis-server are skipped without it,
// and say so.
package faulttest
