package notifier

import (
	"math"
	"slices"
	"strings"
)

// waiters are those of one notifier. They are guarded by its mutex.
type waiters struct {
	byToken map[string]*waiter
	behind  map[string]*waiter // the one directly behind an entry, which is its Front
}

// drop forgets a waiter.
func (ws *waiters) drop(w *waiter) {
	if ws.byToken[w.Token] == w {
		delete(ws.byToken, w.Token)
	}
	if ws.behind[w.Front] == w {
		delete(ws.behind, w.Front)
	}
}

// moveUp puts a waiter behind another entry, because the one between has left.
func (ws *waiters) moveUp(w *waiter, front string) {
	delete(ws.behind, w.Front)
	w.Front = front
	if front != "" {
		ws.behind[front] = w
	}
}

// near returns the first waiters of each line. Those that are not registered
// yet have no number: they are the first.
func (ws *waiters) near(which func(*waiter) bool) []*waiter {
	var all []*waiter
	for _, w := range ws.byToken {
		if !w.Owns && which(w) {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b *waiter) int {
		if c := strings.Compare(a.Line, b.Line); c != 0 {
			return c
		}
		return int(max(math.MinInt32, min(math.MaxInt32, a.Number-b.Number)))
	})
	place, line := 0, ""
	return slices.DeleteFunc(all, func(w *waiter) bool {
		if w.Line != line {
			place, line = 0, w.Line
		}
		if w.Entry != "" {
			place++
		}
		return place > nearest+w.Owners-1
	})
}
