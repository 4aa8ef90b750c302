package picture

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

// lineLengths are how many waited.
var lineLengths = []int{10, 100, 1000, 10000}

// HandOffs draws the time of a hand-off against the number of waiters, for
// locks on servers above and locks in files below. It reports false if there is
// nothing to draw.
func HandOffs(w io.Writer, r *report.Results) (bool, error) {
	var panels []*panel
	for _, place := range []struct {
		title string
		files bool
	}{{"a lock on a server", false}, {"a lock in files", true}} {
		if p := handOffsPanel(r, place.title, place.files); p != nil {
			panels = append(panels, p)
		}
	}
	if len(panels) == 0 {
		return false, nil
	}
	return true, save(w, 900, 300*vg.Length(len(panels)), 170, panels...)
}

func handOffsPanel(r *report.Results, title string, files bool) *panel {
	p := newPlot("hand-off of "+title+" while many wait (median)", "waiters", "hand-off")
	panel := newPanel(p)
	p.Add(grid())
	low, high := math.Inf(1), 0.0
	for _, one := range peer.All() {
		if (one.Backend == peer.Files) != files || one.Backend == peer.Memory {
			continue
		}
		points := handOffPoints(r, one.Name)
		if len(points) == 0 {
			continue
		}
		for _, xy := range points {
			low, high = math.Min(low, xy.Y), math.Max(high, xy.Y)
		}
		s := style(one.Name)
		p.Add(&plotter.Line{XYs: points, LineStyle: s}, &plotter.Scatter{XYs: points, GlyphStyle: dot(s.Color)})
		panel.legend.Add(one.Name, thumbnail(s))
	}
	if high == 0 {
		return nil
	}
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Min, p.X.Max = 8, 12500
	p.X.Tick.Marker = waiterTicks()
	p.Y.Min = math.Pow(10, math.Floor(math.Log10(low)))
	p.Y.Max = math.Pow(10, math.Ceil(math.Log10(high)))
	p.Y.Tick.Marker = plot.TickerFunc(durationTicks)
	return panel
}

func handOffPoints(r *report.Results, peerName string) (points plotter.XYs) {
	for _, n := range lineLengths {
		v := r.Value(fmt.Sprintf("line-%d", n), peerName, "hand_off_p50_us")
		if !math.IsNaN(v) && v > 0 {
			points = append(points, plotter.XY{X: float64(n), Y: v})
		}
	}
	return points
}

func dot(c color.Color) draw.GlyphStyle {
	return draw.GlyphStyle{Color: c, Radius: 3.5, Shape: draw.CircleGlyph{}}
}

func waiterTicks() plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, n := range lineLengths {
		label := fmt.Sprint(n)
		if n >= 1000 {
			label = fmt.Sprintf("%d,%03d", n/1000, n%1000)
		}
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: label})
	}
	return ticks
}
