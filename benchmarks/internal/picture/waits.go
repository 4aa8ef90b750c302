package picture

import (
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

// Waits draws the distribution of waits in one case: locks on servers above,
// locks in files below. It reports false if there is nothing to draw.
func Waits(w io.Writer, all []report.Waits, caseName string) (bool, error) {
	servers, files := byPlace(all, caseName)
	var panels []*panel
	if len(servers) > 0 {
		panels = append(panels, waitsPanel("16 waiters, each holds the lock for 5 ms: locks on a server", servers))
	}
	if len(files) > 0 {
		panels = append(panels, waitsPanel("16 waiters, each holds the lock for 5 ms: locks in files", files))
	}
	if len(panels) == 0 {
		return false, nil
	}
	return true, save(w, 900, 340*vg.Length(len(panels)), 170, panels...)
}

// byPlace divides the peers of a case into those on servers and those without.
func byPlace(all []report.Waits, caseName string) (servers, files []report.Waits) {
	for _, one := range all {
		p, err := peer.Find(one.Peer)
		switch {
		case err != nil || one.Case != caseName || p.Backend == peer.Memory:
		case p.Backend == peer.Files:
			files = append(files, one)
		default:
			servers = append(servers, one)
		}
	}
	return servers, files
}

func waitsPanel(title string, all []report.Waits) *panel {
	p := newPlot(title, "wait (10 µs and less at the left edge)", "% of waits at most so long")
	panel := newPanel(p)
	p.Add(grid())
	low, high := math.Inf(1), 0.0
	for i := len(all) - 1; i >= 0; i-- { // fifolock, the first, is drawn above the others
		l := cumulative(all[i])
		p.Add(l)
		low, high = math.Min(low, l.XYs[0].X), math.Max(high, l.XYs[len(l.XYs)-1].X)
	}
	for _, one := range all {
		panel.legend.Add(one.Peer, thumbnail(style(one.Peer)))
	}
	const shortest = 10 // µs: who found the lock free is at the left end
	p.X.Min = math.Pow(10, math.Floor(math.Log10(math.Max(low, shortest))))
	p.X.Max = math.Pow(10, math.Ceil(math.Log10(high)))
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.TickerFunc(durationTicks)
	p.Y.Min, p.Y.Max = 0, 100
	return panel
}

// cumulative is the line of one peer. Waits of nothing have no place on a
// logarithmic axis; they are at its left end.
func cumulative(w report.Waits) *plotter.Line {
	points := make(plotter.XYs, len(w.Micros))
	for i := range points {
		points[i] = plotter.XY{X: math.Max(w.Micros[i], 10), Y: w.Percentile[i]}
	}
	return &plotter.Line{XYs: points, LineStyle: style(w.Peer)}
}

// thumbnail is a piece of line in a legend.
type thumbnail draw.LineStyle

// Thumbnail implements [plot.Thumbnailer].
func (t thumbnail) Thumbnail(c *draw.Canvas) {
	middle := c.Center().Y
	c.StrokeLine2(draw.LineStyle(t), c.Min.X, middle, c.Max.X, middle)
}
