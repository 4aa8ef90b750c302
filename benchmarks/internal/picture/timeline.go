package picture

import (
	"cmp"
	"fmt"
	"image/color"
	"io"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

var (
	waitingColor = color.RGBA{0xf3, 0xc9, 0x8b, 0xff}
	holdingColor = color.RGBA{0x00, 0x50, 0x9e, 0xff}
)

// Timelines draws a second of waiters of a fair lock and of an unfair one, the
// first of each kind that was measured. It reports false if there is nothing to
// draw.
func Timelines(w io.Writer, all []report.Timeline) (bool, error) {
	var panels []*panel
	for _, names := range [][]string{report.TimelineFair, report.TimelineUnfair} {
		if t, ok := first(all, names); ok {
			panels = append(panels, timelinePanel(t))
		}
	}
	if len(panels) == 0 {
		return false, nil
	}
	return true, save(w, 900, 360*vg.Length(len(panels)), 90, panels...)
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

func timelinePanel(t report.Timeline) *panel {
	title := fmt.Sprintf("%s: %d waiters, each holds the lock for 5 ms", t.Peer, t.Waiters)
	p := newPlot(title, "time (ms)", "waiter, in order of first hold")
	p.Add(rows{t, inOrderOfHolding(t)})
	p.X.Min, p.X.Max = 0, millis(t.To-t.From)
	p.Y.Min, p.Y.Max = 0.4, float64(t.Waiters)+0.6
	var ticks plot.ConstantTicks
	for i := range t.Waiters {
		ticks = append(ticks, plot.Tick{Value: float64(i + 1), Label: fmt.Sprint(t.Waiters - i)})
	}
	p.Y.Tick.Marker = ticks
	p.Y.Tick.Length = 0
	panel := newPanel(p)
	panel.legend.Add("holds", swatch(holdingColor))
	panel.legend.Add("waits", swatch(waitingColor))
	return panel
}

func millis(nanos int64) float64 { return float64(nanos) / 1e6 }

// inOrderOfHolding gives each waiter a row, 0 to the first to get the lock in
// the picture. So it shows whether the next round is in the same order.
func inOrderOfHolding(t report.Timeline) map[int]int {
	rows := make(map[int]int)
	held := slices.DeleteFunc(slices.Clone(t.Samples), func(s figures.Sample) bool { return s.Acquired < t.From })
	slices.SortFunc(held, func(a, b figures.Sample) int { return cmp.Compare(a.Acquired, b.Acquired) })
	for _, s := range append(held, t.Samples...) {
		if _, ok := rows[s.Waiter]; !ok {
			rows[s.Waiter] = len(rows)
		}
	}
	return rows
}

// rows draws a timeline, one row for each waiter.
type rows struct {
	report.Timeline
	row map[int]int // of each waiter, from the top
}

// Plot implements [plot.Plotter].
func (t rows) Plot(c draw.Canvas, p *plot.Plot) {
	for _, s := range t.Samples {
		t.bar(c, p, s, s.Called, s.Acquired, waitingColor)
	}
	// Above the waiting, so that no hold is hidden where they meet.
	for _, s := range t.Samples {
		t.bar(c, p, s, s.Acquired, s.Unlocked, holdingColor)
	}
}

// bar draws what of the time is in the picture.
func (t rows) bar(c draw.Canvas, p *plot.Plot, s figures.Sample, from, to int64, fill color.Color) {
	from, to = max(from, t.From), min(to, t.To)
	if from >= to {
		return
	}
	const half = 0.38 // of the height of a row
	x, y := p.Transforms(&c)
	middle := float64(t.Waiters - t.row[s.Waiter])
	c.FillPolygon(fill, corners(vg.Rectangle{
		Min: vg.Point{X: x(millis(from - t.From)), Y: y(middle - half)},
		Max: vg.Point{X: x(millis(to - t.From)), Y: y(middle + half)},
	}))
}

// swatch is a coloured box in a legend.
type swatch color.RGBA

// Thumbnail implements [plot.Thumbnailer].
func (s swatch) Thumbnail(c *draw.Canvas) { c.FillPolygon(color.RGBA(s), corners(c.Rectangle)) }
