// Package report keeps what a comparison has measured, and makes tables of it.
package report

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// Record is the figures of one peer in one repetition of one case. A peer that
// failed has an error and no figures.
type Record struct {
	Case       string
	Peer       string
	Repetition int
	Figures    map[string]float64 `json:",omitempty"`
	Error      string             `json:",omitempty"`
}

// Results is everything that a comparison has measured. It is kept as JSON, so
// that tables and pictures can be made again without measuring again.
type Results struct {
	Facts   Facts
	Cases   []Case   // in the order in which they ran
	LeftOut []string // what could not be measured here, and how to get it
	Records []Record

	Timelines []Timeline // for a picture
	Waits     []Waits    // for a picture
}

// Case is what one case does, in words.
type Case struct{ Name, About string }

// TimelineFair and TimelineUnfair are the peers of which the timelines are kept.
var (
	TimelineFair   = []string{peer.FifolockRedis, peer.FifolockFile, peer.FifolockMemory}
	TimelineUnfair = []string{peer.Redislock1ms, peer.Rueidislock, peer.GofrsPolling, peer.SyncMutex}
)

// Timeline is the samples of one peer in one run.
type Timeline struct {
	Case     string
	Peer     string
	Waiters  int
	From, To int64
	Samples  []figures.Sample
}

// Waits is the distribution of one peer's waits in one case, over all
// repetitions.
type Waits struct {
	Case, Peer string
	Percentile []float64
	Micros     []float64 // the wait at that percentile
}

// At is the wait that so many percent of the waits were not longer than, in
// microseconds.
func (w Waits) At(percentile float64) float64 {
	i, found := slices.BinarySearch(w.Percentile, percentile)
	if !found {
		i = min(i, len(w.Micros)-1)
	}
	return w.Micros[i]
}

// Add adds a record.
func (r *Results) Add(record Record) { r.Records = append(r.Records, record) }

// values is a figure in each repetition, where there is one.
func (r *Results) values(caseName, peer, figure string) map[int]float64 {
	values := make(map[int]float64)
	for _, record := range r.Records {
		if v, ok := record.Figures[figure]; ok && record.Case == caseName && record.Peer == peer {
			values[record.Repetition] = v
		}
	}
	return values
}

// Value is a figure over all repetitions: the worst of what is a maximum, the
// sum of what is counted, and the median of everything else. It is NaN where
// nothing was measured, or too little in one of the repetitions.
func (r *Results) Value(caseName, peer, figure string) float64 {
	var all []float64
	for _, v := range r.values(caseName, peer, figure) {
		all = append(all, v)
	}
	switch {
	case len(all) == 0, len(all) < r.repetitions(caseName, peer):
		return math.NaN()
	case isMaximum(figure):
		return slices.Max(all)
	case isTotal(figure):
		sum := 0.0
		for _, v := range all {
			sum += v
		}
		return sum
	}
	return figures.Median(all)
}

func isMaximum(figure string) bool { return strings.Contains(figure, "_max_") }

// isTotal reports whether a figure is one for all repetitions: a maximum, or a sum.
func isTotal(figure string) bool {
	return isMaximum(figure) || figure == "overtaking_grants" || figure == "overtaken_pairs" || figure == "unserved"
}

// repetitions is in how many the peer has figures.
func (r *Results) repetitions(caseName, peer string) (n int) {
	for _, record := range r.Records {
		if record.Case == caseName && record.Peer == peer && record.Figures != nil {
			n++
		}
	}
	return n
}

// failed reports whether the peer has failed in a repetition.
func (r *Results) failed(caseName, peer string) bool {
	return slices.ContainsFunc(r.Records, func(record Record) bool {
		return record.Case == caseName && record.Peer == peer && record.Error != ""
	})
}

// Ratio is a figure of a peer over that of another: the median of the ratios of
// each repetition, in which the two ran shortly after each other. It is NaN
// where one of them is missing or 0.
func (r *Results) Ratio(caseName, figure, peer, other string) float64 {
	return figures.Median(quotients(r.values(caseName, peer, figure), r.values(caseName, other, figure)))
}

// quotients divides the values of each repetition.
func quotients(values, others map[int]float64) (quotients []float64) {
	for repetition, v := range values {
		if o := others[repetition]; o != 0 {
			quotients = append(quotients, v/o)
		}
	}
	return quotients
}

// Has reports whether the peer has figures in that case.
func (r *Results) Has(caseName, peer string) bool { return r.repetitions(caseName, peer) > 0 }

// Save writes everything to a file.
func (r *Results) Save(file string) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(content, '\n'), 0o644)
}

// Load reads what Save has written.
func Load(file string) (*Results, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Results
	if err := json.Unmarshal(content, &r); err != nil {
		return nil, err
	}
	return &r, nil
}
