package filequeue

import (
	"time"

	"github.com/fifolock/fifolock/queue"
)

// How often the first of a process who waits is woken to look, because nothing
// tells that a process has died: the files of its tickets stay as they are.
const (
	firstAlarm = 40 * time.Millisecond  // with one process in front of it
	perProcess = 100 * time.Millisecond // for each, if they are more
	lastAlarm  = 5 * time.Second
)

// setAlarm makes sure that the first of this process's tickets that waits is
// looked after. It is called when somebody begins to watch, and when a ticket of
// this process leaves: another is the first then. mu is held.
//
// Whoever waits looks by itself, but the less often the more tickets are in front
// of it. They may all be those of one process, and go with it. The others of this
// process need not look: the first tells them.
func (d *directory) setAlarm() {
	switch {
	case len(d.own) == 0:
		if d.alarm != nil {
			d.alarm.Stop()
			d.alarm = nil
		}
	case d.alarm == nil:
		var alarm *time.Timer
		alarm = time.AfterFunc(firstAlarm, func() { d.ring(&alarm) })
		d.alarm = alarm
	}
}

// ring is called when the alarm goes off.
func (d *directory) ring(alarm **time.Timer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.alarm == nil || d.alarm != *alarm {
		return // stopped when it went off
	}
	own, tickets, processes := d.firstOwn()
	if own == nil || tickets == 0 || !own.bell.heard() {
		d.alarm = nil // until another is the first
		return
	}
	if processes < tickets { // else it looks as often by itself
		own.bell.ring(queue.WakeHint)
	}
	if processes == 1 {
		d.alarm.Reset(firstAlarm)
		return
	}
	d.alarm.Reset(min(time.Duration(processes)*perProcess, lastAlarm))
}

// firstOwn returns the first ticket of this process, nil if there is none, and how
// many are in front of it, of how many processes. The number of a process is that
// of its pid namespace: two may have the same, and then it is woken too often. mu
// is held.
func (d *directory) firstOwn() (own *ownTicket, tickets, processes int) {
	pids := make(map[int]struct{})
	for i, e := range d.line {
		if e.own != nil {
			return e.own, i, len(pids)
		}
		name, _ := parseTicketName(e.name)
		pids[name.pid] = struct{}{}
	}
	return nil, 0, 0
}
