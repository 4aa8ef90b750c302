//go:build linux

package harness

import (
	"time"

	"github.com/anishathalye/porcupine"
)

// fencedMutex is the state of the lock as it is promised: the token of the holder, and
// the highest token so far.
type fencedMutex struct{ held, highest int64 }

// change is what one operation does to it.
type change struct {
	lock  bool // else it ends the hold
	token int64
}

// fencedMutexModel is a mutex that is given to no other while it is held, with
// tokens that ascend.
var fencedMutexModel = porcupine.Model{
	Init: func() any { return fencedMutex{} },
	Step: func(state, input, _ any) (bool, any) {
		s, c := state.(fencedMutex), input.(change)
		switch {
		case c.lock && s.held == 0 && c.token > s.highest:
			return true, fencedMutex{held: c.token, highest: c.token}
		case !c.lock && s.held == c.token:
			return true, fencedMutex{highest: s.highest}
		}
		return false, s
	},
}

// linearizable says whether there is an order of all Locks and Unlocks, each
// at one moment between its call and its return, that a mutex could have gone
// through. It is unknown after a search that takes longer than the limit.
//
// The hold of a killed worker, one that was lost, and one of which it is not
// known whether it was released ends at some moment, possibly never.
func linearizable(attempts []*attempt, limit time.Duration) porcupine.CheckResult {
	var operations []porcupine.Operation
	add := func(a *attempt, c change, call, end int64) {
		operations = append(operations, porcupine.Operation{ClientId: a.worker, Input: c, Call: call, Return: end})
	}
	const never = 1<<63 - 1
	for _, a := range attempts {
		if !a.granted {
			continue
		}
		add(a, change{lock: true, token: a.ticket}, a.called, a.returned)
		unlock := change{token: a.ticket}
		switch {
		case a.wasLost():
			add(a, unlock, a.called, never)
		case a.released.Kind == Released && a.released.Cause == None:
			add(a, unlock, a.releasing, a.released.At)
		case a.releasing != 0:
			add(a, unlock, a.releasing, never)
		default: // killed: not before that
			add(a, unlock, max(a.returned, a.killed), never)
		}
	}
	return porcupine.CheckOperationsTimeout(fencedMutexModel, operations, limit)
}
