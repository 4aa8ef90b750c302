// Package harness runs real processes that contend for one lock, does to them
// what happens to processes (they are stopped, killed, started again), and
// decides afterwards whether the lock did what it promises.
//
// The processes are the test binary itself, started again in another role:
//
//	func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
//
// A worker is told what to do in lines on its stdin, and tells what happens to
// it in events, JSON lines on its stdout, with the time of CLOCK_MONOTONIC:
// that is one clock for all processes of a machine, so the events of different
// processes can be compared. No worker outlives the test binary.
//
// Four detectors look for a broken promise, none of which relies on another:
//
//   - occupancy: each worker marks its slot in memory that all share while it
//     is in the critical section, and looks at the slots of the others;
//   - the counter: each section reads a number from a file, pauses, and writes
//     it back plus 1, so that two sections at once lose an update;
//   - the resource: a server that accepts a write only with a token that is not
//     lower than the highest it has seen;
//   - the journal of all events: holds that overlap, grants out of the order of
//     the tickets, tickets out of the order of arrival, calls without an end;
//     and whether the journal is that of a mutex at all (linearizability).
//
// The package is for Linux.
package harness
