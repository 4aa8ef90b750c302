package picture

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

const (
	decade     = 66 // the height of a factor of ten
	curveLeft  = 80
	curveRight = width - margin - 280 // labels are beside it
)

// lineLengths are how many waited.
var lineLengths = []int{10, 100, 1000, 10000}

// HandOffs draws the time of a hand-off against the number of waiters, for
// locks on servers above and locks in files below, in the same measure. It
// reports false if there is nothing to draw.
func HandOffs(w io.Writer, r *report.Results) (bool, error) {
	c := &canvas{}
	for _, panel := range []struct {
		title, about string
		files        bool
	}{
		{"Hand-off of a lock on a server, while many wait", "From Unlock to the return of the next Lock, median. Where waiters poll, one looks the sooner the more there are, until the server is busy with them.", false},
		{"Hand-off of a lock in files, while many wait", "The same. A level line means that the number of waiters does not matter.", true},
	} {
		if all := curves(r, panel.files); len(all) > 0 {
			c.head(panel.title, panel.about)
			c.curves(all)
		}
	}
	if c.y == 0 {
		return false, nil
	}
	c.legend(
		entry{func(x, y float64) { c.line("fair curve bold", x, y, x+signWidth, y) }, "fifolock"},
		entry{func(x, y float64) { c.line("fair curve", x, y, x+signWidth, y) }, "another that serves in order of arrival"},
		entry{func(x, y float64) { c.line("unfair curve", x, y, x+signWidth, y) }, "one that does not"},
	)
	return true, c.write(w, "How long a hand-off takes, against the number of waiters")
}

// curve is one lock.
type curve struct {
	peer   peer.Peer
	points []point
}

type point struct {
	waiters int
	micros  float64
}

func curves(r *report.Results, files bool) (all []curve) {
	for _, p := range peer.All() {
		if (p.Backend == peer.Files) != files || p.Backend == peer.Memory {
			continue
		}
		one := curve{peer: p}
		for _, n := range lineLengths {
			if v := r.Value(fmt.Sprintf("line-%d", n), p.Name, "hand_off_p50_us"); !math.IsNaN(v) && v > 0 {
				one.points = append(one.points, point{n, v})
			}
		}
		if len(one.points) > 0 {
			all = append(all, one)
		}
	}
	return all
}

func (c *canvas) curves(all []curve) {
	var values []float64
	for _, one := range all {
		for _, p := range one.points {
			values = append(values, p.micros)
		}
	}
	low, high := around(values)
	high = max(high, low*100)
	c.y += lineHeight / 2
	bottom := c.y + decade*math.Round(math.Log10(high/low))
	y := logScale{low, high, bottom, c.y}
	x := logScale{float64(lineLengths[0]), float64(lineLengths[len(lineLengths)-1]), curveLeft + 10, curveRight}
	for _, v := range y.ticks() {
		c.line("grid", curveLeft, y.at(v), curveRight, y.at(v))
		c.text("quiet right", curveLeft-8, y.at(v)+4, duration(v))
	}
	for _, n := range lineLengths {
		c.line("grid", x.at(float64(n)), c.y, x.at(float64(n)), bottom+4)
		c.text("quiet middle", x.at(float64(n)), bottom+18, thousands(n)+map[bool]string{true: " waiters"}[n == slices.Max(lineLengths)])
	}
	for _, one := range all {
		c.curve(one, x, y)
	}
	c.labels(all, x, y)
	c.y = bottom + axisHeight + 8
}

func (c *canvas) curve(one curve, x, y logScale) {
	class := order(one.peer)
	if one.peer.Ours() {
		class += " bold"
	}
	var path strings.Builder
	for i, p := range one.points {
		fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0], x.at(float64(p.waiters)), y.at(p.micros))
	}
	c.printf(`<path class="%s curve" d="%s"/>`, class, path.String())
	for _, p := range one.points {
		c.printf(`<circle class="%s" cx="%.1f" cy="%.1f" r="3"><title>%s, %s waiters: %s</title></circle>`,
			order(one.peer), x.at(float64(p.waiters)), y.at(p.micros), one.peer.Title, thousands(p.waiters), duration(p.micros))
	}
}

// labels names each curve at its end, one below the other.
func (c *canvas) labels(all []curve, x, y logScale) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b curve) int { return cmp.Compare(b.last().micros, a.last().micros) })
	at := make([]float64, len(all))
	for i, one := range all {
		at[i] = y.at(one.last().micros)
		if i > 0 {
			at[i] = max(at[i], at[i-1]+lineHeight)
		}
	}
	for i, one := range all {
		class := ""
		if one.peer.Ours() {
			class = "strong"
		}
		endX, endY := x.at(float64(one.last().waiters)), y.at(one.last().micros)
		c.line("mark", endX+6, endY, curveRight+34, at[i])
		c.text(class, curveRight+40, at[i]+4, fmt.Sprintf("%s: %s", one.peer.Title, duration(one.last().micros)))
	}
}

func (one curve) last() point { return one.points[len(one.points)-1] }

// thousands writes a number up to a million with a comma between thousands.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
