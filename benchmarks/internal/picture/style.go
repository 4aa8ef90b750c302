// Package picture draws what was measured, as SVG on a white background, so
// that it can be read on light and on dark pages.
package picture

import (
	"bytes"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// sans is the font of everything.
var sans = font.Font{Typeface: "Liberation", Variant: "Sans"}

var (
	ink   = color.RGBA{0x22, 0x22, 0x22, 0xff}
	faint = color.RGBA{0xdd, 0xdd, 0xdd, 0xff}
)

// line is how a peer is drawn, the same in every picture. The colours are those
// of Okabe and Ito, which also those can tell apart who do not see all colours.
type line struct {
	color  color.RGBA
	width  vg.Length
	dashes []vg.Length
}

var (
	solid  []vg.Length
	dashed = []vg.Length{vg.Points(6), vg.Points(3)}
	dotted = []vg.Length{vg.Points(2), vg.Points(2)}
)

var lines = map[string]line{
	peer.FifolockRedis:     {color.RGBA{0x00, 0x72, 0xb2, 0xff}, 3, solid},
	peer.FifolockFile:      {color.RGBA{0x00, 0x72, 0xb2, 0xff}, 3, solid},
	peer.FifolockMemory:    {color.RGBA{0x88, 0x88, 0x88, 0xff}, 1.5, dashed},
	peer.Redislock1ms:      {color.RGBA{0xd5, 0x5e, 0x00, 0xff}, 1.5, solid},
	peer.Redislock50ms:     {color.RGBA{0xd5, 0x5e, 0x00, 0xff}, 1.5, dashed},
	peer.Redsync:           {color.RGBA{0xcc, 0x79, 0xa7, 0xff}, 1.5, dashed},
	peer.Redsync1ms:        {color.RGBA{0xcc, 0x79, 0xa7, 0xff}, 1.5, solid},
	peer.Rueidislock:       {color.RGBA{0x00, 0x9e, 0x73, 0xff}, 1.5, solid},
	peer.EtcdMutex:         {color.RGBA{0x22, 0x22, 0x22, 0xff}, 1.5, dashed},
	peer.PostgresAdvisory:  {color.RGBA{0x22, 0x22, 0x22, 0xff}, 1.5, dotted},
	peer.GofrsPolling:      {color.RGBA{0xd5, 0x5e, 0x00, 0xff}, 1.5, solid},
	peer.GofrsBlocking:     {color.RGBA{0x00, 0x9e, 0x73, 0xff}, 1.5, dashed},
	peer.Flock:             {color.RGBA{0x00, 0x9e, 0x73, 0xff}, 1.5, solid},
	peer.SyncMutex:         {color.RGBA{0xe6, 0x9f, 0x00, 0xff}, 1.5, dashed},
	peer.FifolockFileInUse: {color.RGBA{0x00, 0x72, 0xb2, 0xff}, 1.5, dashed},
}

// style returns how a peer is drawn.
func style(name string) draw.LineStyle {
	l, ok := lines[name]
	if !ok {
		l = line{ink, 1, dotted}
	}
	return draw.LineStyle{Color: l.color, Width: l.width, Dashes: l.dashes}
}

// newPlot makes a plot of our style.
func newPlot(title, x, y string) *plot.Plot {
	plot.DefaultFont = sans
	plotter.DefaultFont = sans
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle = words(14, draw.XCenter)
	p.Title.Padding = vg.Points(6)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size = 12
		axis.Label.TextStyle.Color = ink
		axis.Tick.Label.Font.Size = 11
		axis.Tick.Label.Color = ink
		axis.Color, axis.Tick.Color = ink, ink
	}
	return p
}

// words is the style of text of that size.
func words(size vg.Length, align text.XAlignment) text.Style {
	return text.Style{Color: ink, Font: font.From(sans, size), XAlign: align, YAlign: draw.YTop, Handler: plot.DefaultTextHandler}
}

// grid has a faint line at every labelled tick.
func grid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = faint, faint
	return g
}

// panel is a plot and the legend beside it, where it covers nothing.
type panel struct {
	plot   *plot.Plot
	legend plot.Legend
}

func newPanel(p *plot.Plot) *panel {
	l := plot.NewLegend()
	l.TextStyle = words(11, draw.XLeft)
	l.TextStyle.YAlign = draw.YBottom
	l.Top, l.Left = true, true
	l.Padding = vg.Points(5)
	l.ThumbnailWidth = vg.Points(26)
	return &panel{p, l}
}

// save draws the panels one below the other.
func save(w io.Writer, width, height, legendWidth vg.Length, panels ...*panel) error {
	svg := vgsvg.New(width, height)
	all := draw.New(svg)
	all.FillPolygon(color.White, corners(all.Rectangle))
	each := height / vg.Length(len(panels))
	const margin = 8
	for i, p := range panels {
		top := vg.Length(i) * each
		c := draw.Crop(all, margin, -margin, height-top-each+margin, -top-margin)
		p.plot.Draw(draw.Crop(c, 0, -legendWidth, 0, 0))
		p.legend.Draw(draw.Crop(c, width-2*margin-legendWidth+12, 0, 0, -30))
	}
	return write(w, svg)
}

// write names fonts that are everywhere, after the one that was measured with.
func write(w io.Writer, svg *vgsvg.Canvas) error {
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return err
	}
	content := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif"))
	_, err := w.Write(content)
	return err
}

func corners(r vg.Rectangle) []vg.Point {
	return []vg.Point{r.Min, {X: r.Max.X, Y: r.Min.Y}, r.Max, {X: r.Min.X, Y: r.Max.Y}}
}

// durationTicks are at the powers of ten of an axis in microseconds.
func durationTicks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		v := math.Pow(10, power)
		ticks = append(ticks, plot.Tick{Value: v, Label: durationLabel(v)})
		for minor := 2.0; minor < 10; minor++ {
			ticks = append(ticks, plot.Tick{Value: minor * v})
		}
	}
	return within(ticks, low, high)
}

func within(ticks []plot.Tick, low, high float64) (in []plot.Tick) {
	for _, t := range ticks {
		if t.Value >= low*0.999 && t.Value <= high*1.001 {
			in = append(in, t)
		}
	}
	return in
}

func durationLabel(micros float64) string {
	trim := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
	switch {
	case micros < 1000:
		return trim(micros) + " µs"
	case micros < 1e6:
		return trim(micros/1000) + " ms"
	}
	return trim(micros/1e6) + " s"
}
