package report

import "time"

// Names of cases that aims and pictures are made of.
const (
	InTurn             = "uncontended-in-turn"
	Alone              = "uncontended"
	Goroutines64       = "goroutines-64"
	Goroutines16Held   = "goroutines-16-held-5ms"
	Processes          = "processes-4x4"
	Processes16        = "processes-4x16"
	ProcessesHeld      = "processes-4x4-held-5ms"
	Door2x1            = "door-2x1"
	Door2x8            = "door-2x8"
	Door4x4            = "door-4x4"
	Door1x64           = "door-1-beside-64"
	Semaphore          = "semaphore-64"
	SemaphoreProcesses = "semaphore-4x16"
	Line10             = "line-10"
	Line1000           = "line-1000"
	Line10000          = "line-10000"
	Recovery           = "recovery"
	RecoveryDefault    = "recovery-default-lease"
	Idle               = "idle-16"
	IdleLocks          = "idle-200-locks"
	Program            = "program"
	ManyLocks          = "locks-10000"
)

// EmptyRun is the warm-up and the time measured where a lock is held for nothing.
func EmptyRun(quick bool) (warmUp, measure time.Duration) {
	if quick {
		return 100 * time.Millisecond, 300 * time.Millisecond
	}
	return 400 * time.Millisecond, 1500 * time.Millisecond
}

// HeldRun is the same where it is held for 5 ms.
func HeldRun(quick bool) (warmUp, measure time.Duration) {
	if quick {
		return 100 * time.Millisecond, 1100 * time.Millisecond
	}
	return 400 * time.Millisecond, 2500 * time.Millisecond
}
