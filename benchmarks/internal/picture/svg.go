// Package picture draws what was measured, as SVG. The pictures follow the
// reader's choice of light or dark, and bring their own paper, so that they can
// be read on any page. One colour is for locks that serve in order of arrival
// and another for locks that do not; fifolock is the bold one.
package picture

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"strconv"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// The measures of all pictures, in pixels.
const (
	width      = 960
	margin     = 20
	headHeight = 54 // of a panel: its title and what to see in it
	axisHeight = 34
	lineHeight = 16  // of text
	charWidth  = 6.1 // of text, about
)

// style says how things look, in light and in dark.
const style = `
.paper { fill: #ffffff }
text { font: 12px system-ui, 'Liberation Sans', Arial, sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.quiet { fill: #57606a }
.strong { font-weight: 600 }
.right { text-anchor: end }
.middle { text-anchor: middle }
.grid { stroke: #d8dee4; stroke-width: 1 }
.mark { stroke: #57606a; stroke-width: 1; stroke-dasharray: 4 3 }
.wait { fill: #b6d4f5 }
.overtaken { fill: #f4b183 }
.hold { fill: #0b5cad }
.outline { fill: none; stroke: #24292f; stroke-width: 1.5 }
.fair { stroke: #0b5cad; fill: #0b5cad }
.unfair { stroke: #c2570c; fill: #c2570c }
.curve { fill: none; stroke-width: 2 }
.bold { stroke-width: 4 }
.range { stroke-width: 2 }
.most { stroke: none }
.median { fill: #ffffff }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117 }
text { fill: #e6edf3 }
.quiet { fill: #9da7b3 }
.grid { stroke: #30363d }
.mark { stroke: #9da7b3 }
.wait { fill: #274b73 }
.overtaken { fill: #8a4b1f }
.hold { fill: #6cb2ff }
.outline { stroke: #e6edf3 }
.fair { stroke: #6cb2ff; fill: #6cb2ff }
.unfair { stroke: #f0995a; fill: #f0995a }
.curve { fill: none }
.median { fill: #0d1117 }
}
`

// canvas is an SVG that is being drawn from the top down.
type canvas struct {
	body bytes.Buffer
	y    float64 // where the next thing begins
}

func (c *canvas) printf(format string, args ...any) { fmt.Fprintf(&c.body, format+"\n", args...) }

// write writes the SVG, which is as high as what was drawn.
func (c *canvas) write(w io.Writer, title string) error {
	height := int(c.y) + margin
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">
<title>%s</title>
<style>%s</style>
<rect class="paper" width="%d" height="%d"/>
%s</svg>
`, width, height, width, height, html.EscapeString(title), style, width, height, c.body.Bytes())
	return err
}

func (c *canvas) text(class string, x, y float64, text string) {
	c.printf(`<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x, y, html.EscapeString(text))
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	c.printf(`<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

// bar is a rectangle that tells more about itself in a browser.
func (c *canvas) bar(class string, x1, x2, middle, height float64, tip string) {
	c.printf(`<rect class="%s" x="%.2f" y="%.1f" width="%.2f" height="%.1f"><title>%s</title></rect>`,
		class, x1, middle-height/2, x2-x1, height, html.EscapeString(tip))
}

// head begins a panel with its title and a line that says what to see in it.
func (c *canvas) head(title, about string) {
	c.text("title", margin, c.y+26, title)
	c.text("quiet", margin, c.y+45, about)
	c.y += headHeight
}

// entry is one line of a legend: what draws its sign, and what it means.
type entry struct {
	draw func(x, middle float64)
	text string
}

// signWidth is the width of the sign of a legend's entry.
const signWidth = 28

// legend draws the entries beside each other.
func (c *canvas) legend(entries ...entry) {
	x := float64(margin)
	for _, e := range entries {
		e.draw(x, c.y+lineHeight/2)
		c.text("", x+signWidth+8, c.y+lineHeight/2+4, e.text)
		x += signWidth + 32 + charWidth*float64(len([]rune(e.text)))
	}
	c.y += lineHeight
}

// order is the class of a lock: whether it serves in order of arrival.
func order(p peer.Peer) string {
	if p.Fair {
		return "fair"
	}
	return "unfair"
}

// logScale is a logarithmic axis in microseconds.
type logScale struct {
	low, high float64 // values
	from, to  float64 // pixels
}

func (s logScale) at(v float64) float64 {
	v = min(max(v, s.low), s.high)
	return s.from + (s.to-s.from)*math.Log(v/s.low)/math.Log(s.high/s.low)
}

// ticks are the powers of ten.
func (s logScale) ticks() (ticks []float64) {
	for v := s.low; v <= s.high*1.001; v *= 10 {
		ticks = append(ticks, v)
	}
	return ticks
}

// around is the powers of ten that have all values between them.
func around(values []float64) (low, high float64) {
	low, high = math.Inf(1), 0.0
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	low, high = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)))
	if high == low {
		high *= 10
	}
	return low, high
}

// duration writes microseconds in the unit that fits.
func duration(micros float64) string {
	short := func(v float64, unit string) string {
		digits := 0
		if v < 9.995 {
			digits = 2
		} else if v < 99.95 {
			digits = 1
		}
		text := strconv.FormatFloat(v, 'f', digits, 64)
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			text = strconv.FormatFloat(value, 'f', -1, 64) // without zeros at its end
		}
		return text + " " + unit
	}
	switch {
	case micros < 1000:
		return short(micros, "µs")
	case micros < 1e6:
		return short(micros/1000, "ms")
	}
	return short(micros/1e6, "s")
}
