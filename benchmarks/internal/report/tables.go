package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

// WriteTables writes everything as Markdown: the aims, which are ratios for the
// most part, then each case.
func (r *Results) WriteTables(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Results\n\n")
	r.writeFacts(&b)
	b.WriteString("## Aims\n\n")
	aims := r.aims()
	b.WriteString(sumUp(aims) + "\n\n")
	writeTable(&b, []string{"What", "Measured", "Lowest to highest repetition", "Aim", "Reached"}, rows(aims))
	for _, c := range r.Cases {
		r.writeCase(&b, c)
	}
	r.writePeers(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Results) writeFacts(b *strings.Builder) {
	f := r.Facts
	fmt.Fprintf(b, "Made by `%s` on %s, fifolock %s, %s.", f.command(), f.Date, f.Revision, f.Go)
	if f.Earlier != "" {
		fmt.Fprintf(b, " \"Earlier\" is fifolock %s.", f.Earlier)
	}
	b.WriteString("\n\n")
	if f.Quick {
		b.WriteString("**A quick run: the figures are rough.**\n\n")
	}
	fmt.Fprintf(b, "%s, %s, %.0f GiB, %s. ", f.CPU, f.cores(), f.MemoryGiB, f.Kernel)
	if f.LoadAfter != "" {
		fmt.Fprintf(b, "Load averages were %s before the run and %s after it; %s %% of the processor time went to others on the host. ", f.LoadBefore, f.LoadAfter, number(f.StolenPercent))
	}
	fmt.Fprintf(b, "Figures are medians of %s, in which the peers took turns; a maximum is that of all of them, overtakes are counted over all of them. A ratio is the median of the ratios of each repetition. Where there were fewer than 100 samples, the longest is in place of the 99th percentile.\n\n", f.repetitions())
	for _, s := range slices.Sorted(maps.Keys(f.Servers)) {
		fmt.Fprintf(b, "* %s: %s\n", s, f.Servers[s])
	}
	for _, m := range slices.Sorted(maps.Keys(f.Modules)) {
		fmt.Fprintf(b, "* `%s` %s\n", m, f.Modules[m])
	}
	for _, left := range r.LeftOut {
		fmt.Fprintf(b, "* left out: %s\n", left)
	}
	b.WriteString("\n")
}

func rows(aims []aim) [][]string {
	var rows [][]string
	for _, a := range aims {
		rows = append(rows, a.row())
	}
	return rows
}

// column is one figure of a case's table.
type column struct {
	heading string
	figure  string
	write   func(float64) string
	ratio   bool // to fifolock on the same kind of backend, instead of the figure
}

// columns are those of all tables; a table has those that were measured.
var columns = []column{
	{"acquisitions/s, to fifolock", "acquisitions_per_s", times, true},
	{"cycle p50, to fifolock", "cycle_p50_us", times, true},
	{"hand-off p50, to fifolock", "hand_off_p50_us", times, true},
	{"acquisitions/s", "acquisitions_per_s", number, false},
	{"cycle p50", "cycle_p50_us", duration, false},
	{"cycle p99", "cycle_p99_us", duration, false},
	{"wait p50", "wait_p50_us", duration, false},
	{"wait p99", "wait_p99_us", duration, false},
	{"wait max", "wait_max_us", duration, false},
	{"hand-off p50", "hand_off_p50_us", duration, false},
	{"hand-off p99", "hand_off_p99_us", duration, false},
	{"hand-off to a waiter p50", "hand_off_to_waiter_p50_us", duration, false},
	{"hand-off to a waiter p99", "hand_off_to_waiter_p99_us", duration, false},
	{"grants that overtook, %", "overtaking_percent", number, false},
	{"pairs overtaken", "overtaken_pairs", number, false},
	{"calls that overtook an earlier call, %", "overtook_a_call_percent", number, false},
	{"overtakers of a call, p99", "call_overtaken_p99_times", number, false},
	{"of one call, at most", "call_overtaken_max_times", number, false},
	{"longest wait of the lone one", "lone_wait_max_us", duration, false},
	{"acquisitions/s of the lone one", "lone_per_s", number, false},
	{"of the ideal rate, %", "ideal_percent", number, false},
	{"holders at once, at most", "holders_max_at_once", number, false},
	{"waiters not served within 10 s", "unserved", number, false},
	{"Jain", "jain", number, false},
	{"held, %", "held_percent", number, false},
	{"round trips per acquisition", "operations_per_acquisition", number, false},
	{"server CPU per acquisition", "server_cpu_us_per_acquisition", duration, false},
	{"client CPU per acquisition", "client_cpu_us_per_acquisition", duration, false},
	{"holders killed", "deaths", number, false},
	{"recovery p50", "recovery_p50_us", duration, false},
	{"recovery max", "recovery_max_us", duration, false},
	{"requests per waiter and s", "operations_per_waiter_and_s", number, false},
	{"system calls per waiter and s", "system_calls_per_waiter_and_s", number, false},
	{"client CPU per waiter and s", "client_cpu_us_per_waiter_and_s", duration, false},
	{"server CPU per waiter and s", "server_cpu_us_per_waiter_and_s", duration, false},
	{"locks", "locks", number, false},
	{"locks at once", "locks_at_once", number, false},
	{"time per lock", "us_per_lock", duration, false},
	{"inotify instances", "watchers", number, false},
	{"connections", "connections", number, false},
	{"descriptors per waiter", "descriptors_per_waiter", number, false},
	{"descriptors per lock", "descriptors_per_lock", number, false},
	{"memory per waiter, bytes", "memory_bytes_per_waiter", number, false},
	{"packages", "packages", number, false},
	{"not of the standard library", "other_packages", number, false},
	{"of go-redis", "with_go_redis", number, false},
	{"program, bytes", "program_bytes", number, false},
}

// hidden are the columns that say nothing in a case.
var hidden = map[string][]string{
	Alone:    {"acquisitions_per_s", "wait_p50_us", "wait_p99_us", "wait_max_us", "held_percent"},
	Door2x1:  notOfTheDoor,
	Door2x8:  notOfTheDoor,
	Door4x4:  notOfTheDoor,
	Door1x64: notOfTheDoor,
}

var notOfTheDoor = []string{
	"hand_off_p50_us", "hand_off_p99_us", "hand_off_to_waiter_p50_us", "hand_off_to_waiter_p99_us",
	"overtaking_percent", "overtaken_pairs", "held_percent",
	"operations_per_acquisition", "server_cpu_us_per_acquisition", "client_cpu_us_per_acquisition",
}

func (r *Results) writeCase(b *strings.Builder, c Case) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n", c.Name, c.About)
	var peers []peer.Peer
	for _, p := range peer.All() {
		if r.Has(c.Name, p.Name) {
			peers = append(peers, p)
		}
	}
	var shown []column
	headings := []string{"Peer", "Fair"}
	for _, col := range columns {
		if r.shows(c.Name, col, peers) {
			shown = append(shown, col)
			headings = append(headings, col.heading)
		}
	}
	var rows [][]string
	for _, p := range peers {
		row := []string{label(p), map[bool]string{true: "yes", false: ""}[p.Fair]}
		for _, col := range shown {
			row = append(row, r.written(c.Name, col, p))
		}
		rows = append(rows, row)
	}
	r.writeFastest(b, c.Name)
	writeTable(b, headings, rows)
	for _, record := range r.Records {
		if record.Case == c.Name && record.Error != "" {
			fmt.Fprintf(b, "* %s failed in repetition %d: %s\n", record.Peer, record.Repetition, record.Error)
		}
	}
}

// writeFastest names the peers that got their locks most often.
func (r *Results) writeFastest(b *strings.Builder, caseName string) {
	var names []string
	if p := r.fastest(caseName, onServer); p.Name != "" {
		names = append(names, p.Title+" on a server")
	}
	if p := r.fastest(caseName, inFiles); p.Name != "" {
		names = append(names, p.Title+" in files")
	}
	if len(names) > 0 && caseName != Alone {
		fmt.Fprintf(b, "Most acquisitions/s of the other locks: %s.\n\n", strings.Join(names, ", "))
	}
}

// shows reports whether a column has something to say: waiters that were never
// served where there are some, cycles where nothing waits, the rest where there
// is any value.
func (r *Results) shows(caseName string, col column, peers []peer.Peer) bool {
	if col.figure == "unserved" {
		return slices.ContainsFunc(peers, func(p peer.Peer) bool { return r.cell(caseName, col, p) > 0 })
	}
	if slices.Contains(hidden[caseName], col.figure) {
		return false
	}
	if col.figure == "cycle_p50_us" && caseName != Alone && caseName != InTurn {
		return false
	}
	return slices.ContainsFunc(peers, func(p peer.Peer) bool { return r.written(caseName, col, p) != col.write(math.NaN()) })
}

// written is a cell. Of samples too few for a 99th percentile it has the longest.
func (r *Results) written(caseName string, col column, p peer.Peer) string {
	v := r.cell(caseName, col, p)
	if before, after, ok := strings.Cut(col.figure, "_p99_"); ok && math.IsNaN(v) {
		if longest := r.Value(caseName, p.Name, before+"_max_"+after); !math.IsNaN(longest) {
			return col.write(longest) + " (max)"
		}
	}
	return col.write(v)
}

func (r *Results) cell(caseName string, col column, p peer.Peer) float64 {
	if col.ratio {
		return r.Ratio(caseName, col.figure, p.Name, ours(p))
	}
	return r.Value(caseName, p.Name, col.figure)
}

// ours is the fifolock that a peer is compared with: the one without a server,
// or the one with.
func ours(p peer.Peer) string {
	if p.Backend == peer.Files || p.Backend == peer.Memory {
		return peer.FifolockFile
	}
	return peer.FifolockRedis
}

func label(p peer.Peer) string {
	switch {
	case p.Ours():
		return "**" + p.Title + "**"
	case p.Limit:
		return p.Title + " (limit)"
	}
	return p.Title
}

func (r *Results) writePeers(b *strings.Builder) {
	b.WriteString("## Peers\n\n")
	var rows [][]string
	for _, p := range peer.All() {
		if !slices.ContainsFunc(r.Records, func(record Record) bool { return record.Peer == p.Name }) {
			continue
		}
		rows = append(rows, []string{label(p), "`" + p.Name + "`", string(p.Backend), p.About})
	}
	writeTable(b, []string{"Name", "For `-only`", "State is kept in", "What it is"}, rows)
}

func writeTable(b *strings.Builder, headings []string, rows [][]string) {
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(headings)
	line(slices.Repeat([]string{"---"}, len(headings)))
	for _, row := range rows {
		line(row)
	}
	b.WriteString("\n")
}
