package main

import (
	"bytes"
	"fmt"
	"html"
	"time"
)

// The measures of the picture, in pixels.
const (
	width       = 960
	margin      = 20
	labelWidth  = 80
	plotLeft    = margin + labelWidth
	plotWidth   = width - plotLeft - margin
	laneHeight  = 30
	barHeight   = 18
	headHeight  = 56 // title and summary of a run
	axisHeight  = 40
	legendSpace = 36
	digitWidth  = 7
)

// style says how things look, in light and in dark.
const style = `
    .paper { fill: #ffffff }
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .title { font-size: 16px; font-weight: 600 }
    .quiet { fill: #57606a }
    .grid { stroke: #d8dee4; stroke-width: 1 }
    .wait { fill: #b6d4f5 }
    .overtaken { fill: #f4b183 }
    .hold { fill: #0b5cad }
    .number { fill: #ffffff; font-size: 11px; text-anchor: middle }
    .handoff { stroke: #0b5cad; stroke-width: 1; opacity: 0.5 }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117 }
      text { fill: #e6edf3 }
      .quiet { fill: #9da7b3 }
      .grid { stroke: #30363d }
      .wait { fill: #274b73 }
      .overtaken { fill: #8a4b1f }
      .hold { fill: #6cb2ff }
      .number { fill: #0d1117 }
      .handoff { stroke: #6cb2ff }
    }
`

// draw makes the SVG, the runs one below the other, on one scale.
func draw(runs []run) []byte {
	longest, height := time.Duration(0), legendSpace+margin
	for _, r := range runs {
		longest = max(longest, r.length())
		height += r.height()
	}
	p := &picture{scale: plotWidth / longest.Seconds()}
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`, width, height, width, height)
	p.printf(`<title>The processes that waited for the lock, and that held it</title>`)
	p.printf(`<style>%s</style>`, style)
	p.printf(`<rect class="paper" width="%d" height="%d"/>`, width, height)
	for _, r := range runs {
		p.run(r, longest)
	}
	p.legend(len(runs) > 1)
	p.printf(`</svg>`)
	return p.svg.Bytes()
}

// length is the time that the run took.
func (r run) length() time.Duration {
	length := time.Millisecond
	for _, t := range r.turns {
		length = max(length, t.Released.Sub(r.began))
	}
	return length
}

func (r run) height() int { return headHeight + r.procs*laneHeight + axisHeight }

// picture is an SVG that is being written.
type picture struct {
	svg   bytes.Buffer
	scale float64 // pixels for a second
	y     int     // where the next thing begins
}

func (p *picture) printf(format string, args ...any) { fmt.Fprintf(&p.svg, format+"\n", args...) }

func (p *picture) text(class string, x float64, y int, text string) {
	p.printf(`<text class="%s" x="%.1f" y="%d">%s</text>`, class, x, y, html.EscapeString(text))
}

func (p *picture) run(r run, longest time.Duration) {
	p.text("title", margin, p.y+26, r.title)
	p.text("quiet", margin, p.y+45, r.summary())
	p.y += headHeight
	p.axis(r, longest)
	for i := 1; i <= r.procs; i++ {
		p.text("", margin, p.middle(i)+4, fmt.Sprintf("process %d", i))
	}
	late := r.overtaken()
	for _, t := range r.turns {
		p.wait(r, t, late[t])
	}
	for i := range r.turns[1:] {
		p.handOff(r, r.turns[i], r.turns[i+1])
	}
	for i, t := range r.turns {
		p.hold(r, t, i+1)
	}
	p.y += r.procs*laneHeight + axisHeight
}

// middle is the height of a process's lane.
func (p *picture) middle(process int) int { return p.y + (process-1)*laneHeight + laneHeight/2 }

func (p *picture) x(r run, t time.Time) float64 { return plotLeft + t.Sub(r.began).Seconds()*p.scale }

// axis draws the times, about ten of them, and a line for each.
func (p *picture) axis(r run, longest time.Duration) {
	bottom := p.y + r.procs*laneHeight
	step := roundStep(longest / 10)
	for at := time.Duration(0); at <= longest; at += step {
		x := plotLeft + at.Seconds()*p.scale
		p.printf(`<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, x, x, p.y, bottom+4)
		label := fmt.Sprint(at.Milliseconds())
		if at+step > longest {
			label += " ms"
		}
		p.text("quiet", x-digitWidth*float64(len(label))/2, bottom+20, label)
	}
}

// roundStep is the next of 1, 2, 5, 10, 20, 50 ... ms.
func roundStep(least time.Duration) time.Duration {
	for step := time.Millisecond; ; step *= 10 {
		for _, s := range []time.Duration{step, 2 * step, 5 * step} {
			if s >= least {
				return s
			}
		}
	}
}

func (p *picture) wait(r run, t turn, late bool) {
	class := "wait"
	if late {
		class = "overtaken"
	}
	p.bar(class, p.x(r, t.Called), p.x(r, t.Acquired), p.middle(t.Process), describe(t))
}

func (p *picture) hold(r run, t turn, number int) {
	from, to := p.x(r, t.Acquired), p.x(r, t.Released)
	p.bar("hold", from, to, p.middle(t.Process), describe(t))
	label := fmt.Sprint(number)
	if to-from > digitWidth*float64(len(label))+2 {
		p.text("number", (from+to)/2, p.middle(t.Process)+4, label)
	}
}

func (p *picture) bar(class string, from, to float64, middle int, title string) {
	p.printf(`<rect class="%s" x="%.3f" y="%d" width="%.3f" height="%d"><title>%s</title></rect>`,
		class, from, middle-barHeight/2, to-from, barHeight, html.EscapeString(title))
}

// handOff joins a hold and the next one.
func (p *picture) handOff(r run, from, to turn) {
	p.printf(`<line class="handoff" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`,
		p.x(r, from.Released), p.middle(from.Process), p.x(r, to.Acquired), p.middle(to.Process))
}

func describe(t turn) string {
	return fmt.Sprintf("process %d, round %d: waited %v, held %v", t.Process, t.Round,
		t.waited().Round(time.Millisecond/10), t.Released.Sub(t.Acquired).Round(time.Millisecond/10))
}

func (p *picture) legend(overtaken bool) {
	entries := []struct{ class, text string }{
		{"wait", "waits for the lock"},
		{"hold", "holds it; the number is the order"},
	}
	if overtaken {
		entries = append(entries, struct{ class, text string }{"overtaken", "waits, and is overtaken by one that came later"})
	}
	x := float64(plotLeft)
	for _, e := range entries {
		p.printf(`<rect class="%s" x="%.1f" y="%d" width="24" height="12"/>`, e.class, x, p.y+8)
		p.text("", x+32, p.y+18, e.text)
		x += 70 + 6.2*float64(len(e.text))
	}
}
