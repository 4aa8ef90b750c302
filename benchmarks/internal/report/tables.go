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
	writeTable(&b, []string{"What", "Measured", "Aim", "Reached"}, r.aimRows())
	for _, c := range r.Cases {
		r.writeCase(&b, c)
	}
	r.writePeers(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Results) writeFacts(b *strings.Builder) {
	f := r.Facts
	fmt.Fprintf(b, "Made by `go run ./cmd/compare` on %s, fifolock %s, %s.\n\n", f.Date, f.Revision, f.Go)
	if f.Quick {
		b.WriteString("**A quick run: the figures are rough.**\n\n")
	}
	fmt.Fprintf(b, "%s, %d cores, %.0f GiB, %s. ", f.CPU, f.Cores, f.MemoryGiB, f.Kernel)
	fmt.Fprintf(b, "Figures are medians of %s, in which the peers took turns; a maximum is that of all of them, overtakes are counted over all of them. A ratio is the median of the ratios of each repetition.\n\n", f.repetitions())
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

func (r *Results) aimRows() [][]string {
	var rows [][]string
	for _, a := range r.aims() {
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
	{"waiters never served", "unserved", number, false},
	{"Jain", "jain", number, false},
	{"held, %", "held_percent", number, false},
	{"round trips per acquisition", "operations_per_acquisition", number, false},
	{"server CPU per acquisition", "server_cpu_us_per_acquisition", duration, false},
	{"client CPU per acquisition", "client_cpu_us_per_acquisition", duration, false},
	{"recovery p50", "recovery_p50_us", duration, false},
	{"recovery p99", "recovery_p99_us", duration, false},
	{"operations per waiter and s", "operations_per_waiter_and_s", number, false},
	{"system calls per waiter and s", "system_calls_per_waiter_and_s", number, false},
	{"client CPU per waiter and s", "client_cpu_us_per_waiter_and_s", duration, false},
	{"server CPU per waiter and s", "server_cpu_us_per_waiter_and_s", duration, false},
	{"served", "served", number, false},
	{"locks", "locks", number, false},
	{"locks at once", "locks_at_once", number, false},
	{"time per lock", "us_per_lock", duration, false},
	{"threads added", "threads_added", number, false},
	{"inotify instances", "watchers", number, false},
	{"connections", "connections", number, false},
	{"descriptors per waiter", "descriptors_per_waiter", number, false},
	{"descriptors per lock", "descriptors_per_lock", number, false},
	{"memory per waiter, bytes", "memory_bytes_per_waiter", number, false},
}

// hidden are the columns that say nothing in a case.
var hidden = map[string][]string{
	Alone: {"acquisitions_per_s", "wait_p50_us", "wait_p99_us", "wait_max_us", "held_percent"},
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
			row = append(row, col.write(r.cell(c.Name, col, p)))
		}
		rows = append(rows, row)
	}
	writeTable(b, headings, rows)
	for _, record := range r.Records {
		if record.Case == c.Name && record.Error != "" {
			fmt.Fprintf(b, "* %s failed in repetition %d: %s\n", record.Peer, record.Repetition, record.Error)
		}
	}
}

// shows reports whether a column has something to say: who was never served
// where there is somebody, cycles where nobody waits, the rest where there is
// any value.
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
	return slices.ContainsFunc(peers, func(p peer.Peer) bool { return !math.IsNaN(r.cell(caseName, col, p)) })
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
