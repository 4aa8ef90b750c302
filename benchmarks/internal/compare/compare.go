// Package compare runs every case with every peer, side by side.
package compare

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fifolock/fifolock/benchmarks/internal/earlier"
	"github.com/fifolock/fifolock/benchmarks/internal/figures"
	"github.com/fifolock/fifolock/benchmarks/internal/load"
	"github.com/fifolock/fifolock/benchmarks/internal/peer"
	"github.com/fifolock/fifolock/benchmarks/internal/report"
	"github.com/fifolock/fifolock/benchmarks/internal/server"
)

// lease is that of all locks that have one, unless a case is about it.
const lease = 30 * time.Second

// Options say what to run.
type Options struct {
	Quick       bool
	Repetitions int
	Earlier     string         // a revision to measure beside this one; empty: none
	Only        *regexp.Regexp // of "case/peer"; nil is all
	Progress    func(format string, args ...any)
}

// modules are those of which the version matters.
var modules = []string{
	"github.com/bsm/redislock", "github.com/go-redsync/redsync/v4", "github.com/redis/rueidis",
	"go.etcd.io/etcd/client/v3", "github.com/jackc/pgx/v5", "github.com/gofrs/flock", "github.com/redis/go-redis/v9",
}

// comparison is one run of everything.
type comparison struct {
	options Options
	servers *server.Set
	site    peer.Site
	results *report.Results

	names atomic.Int64                       // of locks, given out
	waits map[string]map[string][]waitSample // by case and peer
}

type waitSample = time.Duration

// Run starts the servers that are needed, runs the cases, and ends the servers.
// A peer that fails is reported and does not end the run; ctx does.
func Run(ctx context.Context, options Options) (*report.Results, error) {
	c := &comparison{options: options, results: &report.Results{}, waits: make(map[string]map[string][]waitSample)}
	servers, err := server.Start(c.backends()...)
	if err != nil {
		return nil, err
	}
	c.servers, c.site = servers, servers.Site()
	c.noteFacts()
	removeEarlier, err := c.buildEarlier(ctx)
	if err != nil {
		return nil, errors.Join(err, servers.Stop())
	}
	defer removeEarlier()
	for _, one := range allCases(options.Quick) {
		if ctx.Err() != nil {
			break
		}
		c.run(ctx, one)
	}
	c.noteWaits()
	c.results.Facts.End()
	if err := servers.Stop(); err != nil {
		return c.results, err
	}
	return c.results, ctx.Err()
}

// buildEarlier builds the program of an earlier revision, if there is to be one.
func (c *comparison) buildEarlier(ctx context.Context) (remove func(), err error) {
	if c.options.Earlier == "" {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "fifolock-earlier-")
	if err != nil {
		return nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	c.site.Earlier, c.results.Facts.Earlier, err = earlier.Build(ctx, c.options.Earlier, dir)
	if err != nil {
		remove()
		return nil, err
	}
	return remove, nil
}

// wanted reports whether a peer takes part in a case.
func (c *comparison) wanted(one testCase, p peer.Peer) bool {
	return one.fits(p) && (p.Earlier == "" || c.options.Earlier != "") && (c.options.Only == nil || c.options.Only.MatchString(one.Name+"/"+p.Name))
}

// backends are those of the peers that take part in anything.
func (c *comparison) backends() []peer.Backend {
	needed := make(map[peer.Backend]bool)
	for _, one := range allCases(c.options.Quick) {
		for _, p := range peer.All() {
			if c.wanted(one, p) {
				needed[p.Backend] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(needed))
}

func (c *comparison) noteFacts() {
	f := report.GatherFacts(modules)
	f.Quick, f.Repetitions = c.options.Quick, c.options.Repetitions
	if c.options.Only != nil {
		f.Only = c.options.Only.String()
	}
	for b, version := range c.servers.Versions() {
		f.Servers[string(b)] = version
	}
	c.results.Facts = f
	missing := c.servers.Missing()
	for _, b := range slices.Sorted(maps.Keys(missing)) {
		c.leaveOut(fmt.Sprintf("everything on %s: %v", b, missing[b]))
	}
}

func (c *comparison) leaveOut(what string) {
	if slices.Contains(c.results.LeftOut, what) {
		return
	}
	c.results.LeftOut = append(c.results.LeftOut, what)
	c.options.Progress("left out: %s\n", what)
}

// run runs one case: the peers take turns in each repetition, because a machine
// is not equally fast all the time. Each repetition begins with another peer.
func (c *comparison) run(ctx context.Context, one testCase) {
	var peers []peer.Peer
	for _, p := range peer.All() {
		if c.wanted(one, p) && c.site.Has(p.Backend) {
			peers = append(peers, p)
		}
	}
	if len(peers) == 0 {
		return
	}
	c.results.Cases = append(c.results.Cases, report.Case{Name: one.Name, About: one.About})
	repetitions := c.options.Repetitions
	if one.atMost > 0 {
		repetitions = min(repetitions, one.atMost)
	}
	for repetition := range repetitions {
		inOrder := rotated(peers, repetition, repetitions)
		if one.together != nil {
			c.runTogether(ctx, one, inOrder, repetition)
			continue
		}
		for _, p := range inOrder {
			if ctx.Err() != nil {
				return
			}
			c.runOne(ctx, one, p, repetition)
		}
	}
}

// rotated begins at another peer in each repetition, so that none always has the same
// place in it. The places where repetitions begin are as far apart as they can be.
func rotated(peers []peer.Peer, repetition, of int) []peer.Peer {
	first := repetition * len(peers) / of
	return slices.Concat(peers[first:], peers[:first])
}

func (c *comparison) runOne(ctx context.Context, one testCase, p peer.Peer, repetition int) {
	record := report.Record{Case: one.Name, Peer: p.Name, Repetition: repetition}
	began := time.Now()
	var err error
	if record.Figures, err = one.run(ctx, c, one, p); err != nil {
		record.Figures, record.Error = nil, err.Error()
		c.options.Progress("%s %s #%d: %v\n", one.Name, p.Name, repetition+1, err)
	} else {
		c.options.Progress("%s %s #%d: %s, in %.1f s\n", one.Name, p.Name, repetition+1, gist(record.Figures), time.Since(began).Seconds())
	}
	c.results.Add(record)
}

// runTogether runs the peers of each backend at once.
func (c *comparison) runTogether(ctx context.Context, one testCase, peers []peer.Peer, repetition int) {
	for _, backend := range c.backends() {
		same := slices.DeleteFunc(slices.Clone(peers), func(p peer.Peer) bool { return p.Backend != backend })
		if len(same) == 0 || ctx.Err() != nil {
			continue
		}
		all, err := one.together(ctx, c, one, same)
		for i, p := range same {
			record := report.Record{Case: one.Name, Peer: p.Name, Repetition: repetition}
			if err != nil {
				record.Error = err.Error()
			} else {
				record.Figures = all[i]
			}
			c.results.Add(record)
		}
		c.options.Progress("%s on %s #%d: error %v\n", one.Name, backend, repetition+1, err)
	}
}

// gist is the figure that says most about a run.
func gist(f map[string]float64) string {
	for _, name := range []string{"acquisitions_per_s", "hand_off_p50_us", "recovery_p50_us", "operations_per_waiter_and_s", "us_per_lock", "packages"} {
		if v, ok := f[name]; ok {
			return fmt.Sprintf("%s %.4g", name, v)
		}
	}
	return fmt.Sprint(f)
}

// newOptions are those of a lock that was not used yet.
func (c *comparison) newOptions(lease time.Duration) peer.Options {
	return peer.Options{Name: fmt.Sprintf("lock-%d", c.names.Add(1)), Lease: lease}
}

// open opens a lock that was not used yet.
func (c *comparison) open(ctx context.Context, p peer.Peer) (*peer.Lock, error) {
	return p.Open(ctx, c.site, c.newOptions(lease))
}

// meter reads what the server of a backend has used, before and after.
type meter struct {
	servers *server.Set
	backend peer.Backend
	read    []time.Duration
}

func (c *comparison) meter(p peer.Peer) *meter { return &meter{servers: c.servers, backend: p.Backend} }

func (m *meter) around() error {
	used, err := m.servers.CPU(m.backend)
	m.read = append(m.read, used)
	return err
}

// used is what was used between the first and the last time that it was read.
func (m *meter) used() time.Duration { return m.read[len(m.read)-1] - m.read[0] }

// drawn are the cases of which there is a picture of the waits.
var drawn = []string{report.Goroutines16Held, report.Goroutines64}

// keep keeps what the pictures are made of. The waits of all cases would be too many.
func (c *comparison) keep(one testCase, p peer.Peer, r load.Run) {
	if p.Earlier != "" || !slices.Contains(drawn, one.Name) {
		return
	}
	if c.waits[one.Name] == nil {
		c.waits[one.Name] = make(map[string][]waitSample)
	}
	c.waits[one.Name][p.Name] = append(c.waits[one.Name][p.Name], r.Waits()...)
	if one.Name == report.Goroutines16Held && slices.Contains(append(report.TimelineFair, report.TimelineUnfair...), p.Name) {
		c.keepTimeline(one, p, r)
	}
}

// keepTimeline keeps a second of the last run of each peer.
func (c *comparison) keepTimeline(one testCase, p peer.Peer, r load.Run) {
	t := report.Timeline{Case: one.Name, Peer: p.Name, Waiters: r.Waiters, From: r.From, To: r.From + int64(time.Second)}
	for _, s := range r.Samples {
		if s.Called < t.To && s.Unlocked > t.From {
			t.Samples = append(t.Samples, s)
		}
	}
	c.results.Timelines = slices.DeleteFunc(c.results.Timelines, func(old report.Timeline) bool { return old.Peer == p.Name })
	c.results.Timelines = append(c.results.Timelines, t)
}

// noteWaits makes distributions of what was kept.
func (c *comparison) noteWaits() {
	for _, one := range drawn {
		for _, p := range peer.All() {
			if waits := c.waits[one][p.Name]; len(waits) > 0 {
				c.results.Waits = append(c.results.Waits, distribution(one, p.Name, figures.NewDurations(waits)))
			}
		}
	}
}

func distribution(caseName, peerName string, sorted figures.Durations) report.Waits {
	w := report.Waits{Case: caseName, Peer: peerName}
	for tenths := 0; tenths <= 1000; tenths += 5 {
		percentile := float64(tenths) / 10
		w.Percentile = append(w.Percentile, percentile)
		w.Micros = append(w.Micros, float64(sorted.Percentile(percentile))/float64(time.Microsecond))
	}
	return w
}
