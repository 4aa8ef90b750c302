package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
)

// results has something for every picture.
func results() *report.Results {
	r := &report.Results{}
	for _, name := range []string{peer.FifolockRedis, peer.Redislock1ms, peer.FifolockFile} {
		r.Timelines = append(r.Timelines, report.Timeline{
			Case: report.Goroutines16Held, Peer: name, Waiters: 2, From: 0, To: 1e9,
			Samples: []figures.Sample{{Waiter: 0, Called: -5, Acquired: 1e8, Unlocked: 2e8}, {Waiter: 1, Called: 1e8, Acquired: 2e8, Unlocked: 2e9}},
		})
		r.Waits = append(r.Waits, report.Waits{Case: report.Goroutines16Held, Peer: name, Percentile: []float64{0, 50, 100}, Micros: []float64{0, 100, 1e6}})
		r.Add(report.Record{Case: report.Line10, Peer: name, Figures: map[string]float64{"hand_off_p50_us": 50}})
		r.Add(report.Record{Case: report.Line1000, Peer: name, Figures: map[string]float64{"hand_off_p50_us": 70}})
	}
	return r
}

func TestPictures(t *testing.T) {
	r := results()
	for name, draw := range map[string]func(io.Writer) (bool, error){
		"timelines": func(w io.Writer) (bool, error) { return Timelines(w, r.Timelines) },
		"waits":     func(w io.Writer) (bool, error) { return Waits(w, r.Waits, report.Goroutines16Held, 75000) },
		"hand-offs": func(w io.Writer) (bool, error) { return HandOffs(w, r) },
	} {
		var b bytes.Buffer
		drawn, err := draw(&b)
		if err != nil || !drawn {
			t.Errorf("%s: drawn %v, error %v", name, drawn, err)
			continue
		}
		checkXML(t, name, b.Bytes())
		for _, want := range []string{title(peer.FifolockRedis), title(peer.Redislock1ms), "prefers-color-scheme: dark"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s has no %q", name, want)
			}
		}
	}
}

func checkXML(t *testing.T, name string, content []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(content)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s is not XML: %v", name, err)
			return
		}
	}
}

func TestNothingIsDrawnOfNothing(t *testing.T) {
	empty := &report.Results{}
	var b bytes.Buffer
	for name, draw := range map[string]func() (bool, error){
		"timelines": func() (bool, error) { return Timelines(&b, nil) },
		"waits":     func() (bool, error) { return Waits(&b, nil, report.Goroutines16Held, 75000) },
		"hand-offs": func() (bool, error) { return HandOffs(&b, empty) },
	} {
		if drawn, err := draw(); drawn || err != nil {
			t.Errorf("%s of nothing: drawn %v, error %v", name, drawn, err)
		}
	}
	if b.Len() > 0 {
		t.Errorf("of nothing, %d bytes were drawn", b.Len())
	}
}
