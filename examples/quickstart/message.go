package main

// message is what a worker writes to its parent, one JSON value a line.
type message struct {
	InLine  bool     // the worker's first ticket is in line
	Holding *section // the worker holds the lock until it is killed
	Done    *section // the worker has left the section
	Failed  string   // the worker gives up, and why
}

// section is one stay under the lock, as its process saw it.
type section struct {
	Process int // 1 for the first process
	Round   int // 1 for its first section

	Ticket int64 // number in line
	Token  int64 // fencing token of the hold
	Number int   // what the file said; the section writes Number+1

	Called     instant // Lock was called
	Registered instant // the ticket was in line
	Acquired   instant // Lock returned
	Released   instant // Unlock was called, or Kill if Killed

	Killed bool // the process was killed before it wrote Number+1
}

// instant is a time in nanoseconds that processes of one machine can compare.
type instant int64
