package picture

import (
	"fmt"
	"io"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

const (
	rowHeight = 24
	rowBar    = 10
	rowLeft   = 240
	rowRight  = width - margin - 120
)

// Waits draws how long the waits of each lock are in one case. It reports false
// if there is nothing to draw. turns is how long the others hold the lock before
// it is a waiter's turn again.
func Waits(w io.Writer, all []report.Waits, caseName string, turnsMicros float64) (bool, error) {
	var rows []row
	var values []float64
	for _, one := range all {
		p, err := peer.Find(one.Peer)
		if err != nil || one.Case != caseName || p.Backend == peer.Memory || p.Named || p.Earlier != "" {
			continue
		}
		rows = append(rows, row{one, p})
		values = append(values, max(one.At(0), 1), one.At(100))
	}
	if len(rows) == 0 {
		return false, nil
	}
	low, high := around(values)
	c := &canvas{}
	scale := logScale{low, high, rowLeft, rowRight}
	c.head("How long a call waits", "16 goroutines that each hold the lock for 5 ms, again and again. A narrow bar means that all wait equally long, a wide one that luck decides.")
	c.y += lineHeight
	c.rows(scale, rows, turnsMicros)
	c.legend(
		entry{func(x, y float64) { c.bar("fair most", x, x+signWidth, y, rowBar, "") }, "serves in order of arrival"},
		entry{func(x, y float64) { c.bar("unfair most", x, x+signWidth, y, rowBar, "") }, "does not"},
		entry{func(x, y float64) { c.sample(x, y) }, "line: shortest to longest wait; bar: nine of ten; mark in it: the median"},
	)
	return true, c.write(w, "How long a call of Lock waits, for each lock")
}

// row is one lock.
type row struct {
	report.Waits
	peer peer.Peer
}

func (c *canvas) rows(scale logScale, rows []row, turnsMicros float64) {
	bottom := c.y + rowHeight*float64(len(rows))
	for _, v := range scale.ticks() {
		c.line("grid", scale.at(v), c.y, scale.at(v), bottom+4)
		c.text("quiet middle", scale.at(v), bottom+18, duration(v))
	}
	c.text("quiet", rowRight+16, c.y-6, "longest wait")
	turns := scale.at(turnsMicros)
	c.line("mark", turns, c.y-4, turns, bottom)
	c.text("quiet middle", turns, c.y-8, fmt.Sprintf("the 15 others hold it once each: %s", duration(turnsMicros)))
	for i, r := range rows {
		c.row(scale, r, c.y+(float64(i)+0.5)*rowHeight)
	}
	c.y = bottom + axisHeight
}

func (c *canvas) row(scale logScale, r row, middle float64) {
	name := ""
	if r.peer.Ours() {
		name = "strong"
	}
	c.text(name, margin, middle+4, r.peer.Title)
	tip := fmt.Sprintf("%s: shortest %s, median %s, longest %s", r.peer.Title, duration(r.Waits.At(0)), duration(r.Waits.At(50)), duration(r.Waits.At(100)))
	class := order(r.peer)
	c.line(class+" range", scale.at(r.Waits.At(0)), middle, scale.at(r.Waits.At(100)), middle)
	from, to := scale.at(r.Waits.At(5)), scale.at(r.Waits.At(95))
	if to-from < 4 { // something is to be seen of it
		from, to = (from+to)/2-2, (from+to)/2+2
	}
	c.bar(class+" most", from, to, middle, rowBar, tip)
	if to-from > 8 {
		median := scale.at(r.Waits.At(50))
		c.bar("median", median-1, median+1, middle, rowBar, tip)
	}
	c.text(name, rowRight+16, middle+4, duration(r.Waits.At(100)))
}

// sample is a row of no lock, for the legend.
func (c *canvas) sample(x, middle float64) {
	c.line("fair range", x, middle, x+signWidth, middle)
	c.bar("fair most", x+5, x+signWidth-6, middle, rowBar, "")
	c.bar("median", x+11, x+13, middle, rowBar, "")
}
