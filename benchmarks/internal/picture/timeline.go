package picture

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

const (
	laneHeight = 16
	laneBar    = 12
	laneLeft   = 108
	laneRight  = width - margin
)

// Timelines draws what the waiters of a fair lock and of an unfair one do, the
// first of each kind that was measured. It reports false if there is nothing to
// draw.
func Timelines(w io.Writer, all []report.Timeline) (bool, error) {
	c := &canvas{}
	drawn := false
	for _, names := range [][]string{report.TimelineFair, report.TimelineUnfair} {
		if t, ok := first(all, names); ok {
			c.timeline(newTimeline(t))
			drawn = true
		}
	}
	if !drawn {
		return false, nil
	}
	sign := func(class string) func(x, middle float64) {
		return func(x, middle float64) { c.bar(class, x, x+signWidth, middle, laneBar, "") }
	}
	c.legend(entry{sign("hold"), "holds the lock"}, entry{sign("wait"), "waits"},
		entry{sign("overtaken"), "waits, and is overtaken by calls that came later"})
	return true, c.write(w, "When each goroutine waits for the lock and when it holds it")
}

func first(all []report.Timeline, names []string) (report.Timeline, bool) {
	for _, name := range names {
		for _, t := range all {
			if t.Peer == name {
				return t, true
			}
		}
	}
	return report.Timeline{}, false
}

// timeline is what a panel shows.
type timeline struct {
	report.Timeline
	lanes     map[int]int // of each waiter, from the top
	overtaken []int       // by how many calls, for each sample
	held      int         // how often
	longest   int64       // wait
	shown     int         // of those that are all in the picture, the sample that was overtaken most; or -1
}

func newTimeline(t report.Timeline) timeline {
	all := timeline{Timeline: t, lanes: lanes(t), overtaken: figures.OvertakenBy(t.Samples), shown: -1}
	for i, s := range t.Samples {
		if s.Acquired < t.From || s.Acquired > t.To {
			continue
		}
		all.held++
		all.longest = max(all.longest, s.Acquired-s.Called)
		if n := all.overtaken[i]; n > 0 && s.Called >= t.From && (all.shown < 0 || n > all.overtaken[all.shown]) {
			all.shown = i
		}
	}
	return all
}

// lanes gives each waiter a lane, 0 to the first that gets the lock in the
// picture. So it shows whether the next round is in the same order.
func lanes(t report.Timeline) map[int]int {
	lanes := make(map[int]int)
	held := slices.DeleteFunc(slices.Clone(t.Samples), func(s figures.Sample) bool { return s.Acquired < t.From })
	slices.SortFunc(held, func(a, b figures.Sample) int { return cmp.Compare(a.Acquired, b.Acquired) })
	for _, s := range append(held, t.Samples...) {
		if _, ok := lanes[s.Waiter]; !ok {
			lanes[s.Waiter] = len(lanes)
		}
	}
	return lanes
}

func (c *canvas) timeline(t timeline) {
	c.head(title(t.Peer), t.about())
	bottom := c.y + float64(t.Waiters)*laneHeight
	for at := t.From; at <= t.To; at += int64(100 * time.Millisecond) {
		x := t.x(at)
		c.line("grid", x, c.y, x, bottom+4)
		if at+int64(100*time.Millisecond) > t.To {
			c.text("quiet right", x, bottom+18, millis(at-t.From))
		} else {
			c.text("quiet middle", x, bottom+18, fmt.Sprint((at-t.From)/int64(time.Millisecond)))
		}
	}
	for i := range t.Waiters {
		c.text("quiet", margin, c.lane(i)+4, fmt.Sprintf("goroutine %d", i+1))
	}
	for i, s := range t.Samples {
		class := "wait"
		if t.overtaken[i] > 0 {
			class = "overtaken"
		}
		c.part(t, class, s, s.Called, s.Acquired)
	}
	for _, s := range t.Samples { // above the waits, so that no hold is hidden
		c.part(t, "hold", s, s.Acquired, s.Unlocking)
	}
	c.pointOut(t)
	c.y = bottom + axisHeight
}

func (c *canvas) lane(i int) float64 { return c.y + (float64(i)+0.5)*laneHeight }

func (t timeline) x(at int64) float64 {
	at = min(max(at, t.From), t.To)
	return laneLeft + (laneRight-laneLeft)*float64(at-t.From)/float64(t.To-t.From)
}

// part draws what of the time is in the picture.
func (c *canvas) part(t timeline, class string, s figures.Sample, from, to int64) {
	if to <= t.From || from >= t.To {
		return
	}
	tip := fmt.Sprintf("waited %s, held %s", millis(s.Acquired-s.Called), millis(s.Unlocking-s.Acquired))
	c.bar(class, t.x(from), t.x(to), c.lane(t.lanes[s.Waiter]), laneBar, tip)
}

// pointOut marks one wait that was overtaken, and says how often.
func (c *canvas) pointOut(t timeline) {
	if t.shown < 0 {
		return
	}
	s := t.Samples[t.shown]
	from, to := t.x(s.Called), t.x(s.Acquired)
	middle := c.lane(t.lanes[s.Waiter])
	c.printf(`<rect class="outline" x="%.1f" y="%.1f" width="%.1f" height="%d"/>`, from, middle-laneBar/2.0-1, to-from, laneBar+2)
	text := fmt.Sprintf("overtaken %d times in %s", t.overtaken[t.shown], millis(s.Acquired-s.Called))
	if to-from > charWidth*float64(len(text)) {
		c.text("middle", (from+to)/2, middle+4, text)
	}
}

// about says in words what the panel shows.
func (t timeline) about() string {
	overtaken := 0
	for i, s := range t.Samples {
		if t.overtaken[i] > 0 && s.Acquired >= t.From && s.Acquired <= t.To {
			overtaken++
		}
	}
	words := fmt.Sprintf("%d goroutines that each hold the lock for 5 ms, again and again. Held %d times, longest wait %s; ",
		t.Waiters, t.held, millis(t.longest))
	if overtaken == 0 {
		return words + "each round is in the order of the one before."
	}
	return words + fmt.Sprintf("%d of the waits were overtaken: luck decides.", overtaken)
}

func millis(nanos int64) string { return fmt.Sprintf("%.0f ms", float64(nanos)/1e6) }

// title is what the tables call a peer.
func title(name string) string {
	if p, err := peer.Find(name); err == nil {
		return p.Title
	}
	return name
}
