package main

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

func (m *metrics) print(text *bytes.Buffer, length int, lengthKnown bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := printer{text, fmt.Sprintf("lock=%q", m.name)}
	p.value("fifolock_waiting", "gauge", "Calls of this process that are in line now.", m.waiting)
	p.value("fifolock_holding", "gauge", "Holds of this process now.", m.holding)
	if lengthKnown {
		p.value("fifolock_queue_length", "gauge", "Tickets in line, those of holders and of other processes included.", int64(length))
	}
	p.value("fifolock_registered_total", "counter", "Tickets taken.", m.registered)
	p.value("fifolock_acquired_total", "counter", "Times that the lock was acquired.", m.acquired)
	p.head("fifolock_failed_total", "counter", "Times that the lock was not acquired: the call was cancelled, others were ahead for too long, the ticket was evicted, or an error.")
	for r := range reasons {
		fmt.Fprintf(p.out, "fifolock_failed_total{%s,reason=%q} %d\n", p.labels, r, m.failed[r])
	}
	p.value("fifolock_evicted_total", "counter", "Tickets of dead owners that this process took out of the line.", m.evicted)
	p.value("fifolock_heartbeats_failed_total", "counter", "Heartbeats that failed and were tried again.", m.heartbeatsFailed)
	p.value("fifolock_lost_total", "counter", "Times that the lock was lost while it was held.", m.lost)
	p.value("fifolock_releases_failed_total", "counter", "Releases that the queue did not confirm.", m.releasesFailed)
	p.histogram("fifolock_wait_seconds", "From the call of Lock to the lock.", &m.waits)
	p.histogram("fifolock_hold_seconds", "From the lock to Unlock.", &m.holds)
}

// printer writes the Prometheus text format.
type printer struct {
	out    io.Writer
	labels string
}

func (p printer) head(name, kind, help string) {
	fmt.Fprintf(p.out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (p printer) value(name, kind, help string, value int64) {
	p.head(name, kind, help)
	fmt.Fprintf(p.out, "%s{%s} %d\n", name, p.labels, value)
}

func (p printer) histogram(name, help string, h *histogram) {
	p.head(name, "histogram", help)
	upTo := int64(0) // buckets are cumulative
	for i, bound := range bounds {
		upTo += h.counts[i]
		fmt.Fprintf(p.out, "%s_bucket{%s,le=\"%g\"} %d\n", name, p.labels, bound.Seconds(), upTo)
	}
	fmt.Fprintf(p.out, "%s_bucket{%s,le=\"+Inf\"} %d\n", name, p.labels, h.count())
	fmt.Fprintf(p.out, "%s_sum{%s} %g\n", name, p.labels, h.sum.Seconds())
	fmt.Fprintf(p.out, "%s_count{%s} %d\n", name, p.labels, h.count())
}

// histogram counts durations, in buckets whose upper bounds ascend.
type histogram struct {
	counts [len(bounds) + 1]int64 // the last one has no bound
	sum    time.Duration
}

var bounds = [...]time.Duration{
	100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second,
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += d
}

func (h *histogram) count() (n int64) {
	for _, c := range h.counts {
		n += c
	}
	return n
}
