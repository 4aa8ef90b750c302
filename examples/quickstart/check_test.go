package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/examples/internal/verdict"
)

// goodRun is a run of two processes in two rounds in which everything is as it
// should be. Process 2 is killed in round 1; time goes on by 1 ms a step.
func goodRun() *observation {
	at := func(ms int) instant { return instant(ms) * instant(time.Millisecond) }
	return &observation{
		settings: settings{procs: 2, rounds: 2},
		number:   2,
		sections: []section{
			{Process: 1, Round: 1, Ticket: 11, Token: 11, Number: 0, Called: at(0), Registered: at(1), Acquired: at(4), Released: at(5)},
			{Process: 2, Round: 1, Ticket: 12, Token: 12, Number: 1, Called: at(2), Registered: at(3), Acquired: at(6), Released: at(9), Killed: true},
			{Process: 1, Round: 2, Ticket: 13, Token: 13, Number: 1, Called: at(7), Registered: at(8), Acquired: at(10), Released: at(11)},
		},
	}
}

func TestGoodRunPasses(t *testing.T) {
	if err := verdict.Error(check(goodRun())); err != nil {
		t.Error(err)
	}
}

// TestEveryCheckCanFail spoils a good run in one way at a time.
func TestEveryCheckCanFail(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*observation)
		want  string
	}{
		{"lost update", func(o *observation) { o.number = 1 }, "number in the file: it is 1 after 2"},
		{"the killed process has written", func(o *observation) { o.number = 3 }, "number in the file: it is 3 after 2"},
		{"two have read the same", func(o *observation) { o.sections[2].Number = 0 }, "number in the file: process 1 read 0 after 1"},
		{"overtaking", func(o *observation) {
			o.sections[0].Ticket, o.sections[1].Ticket = 12, 11
		}, "order: 1 were served after one that came later"},
		{"a number out of turn", func(o *observation) {
			// Process 2 came after process 1 and got the lower number.
			o.sections[0].Ticket, o.sections[1].Ticket = 12, 11
			o.sections[0], o.sections[1] = o.sections[1], o.sections[0]
			o.sections[0].Acquired, o.sections[1].Acquired = o.sections[1].Acquired, o.sections[0].Acquired
		}, "order: 1 have a lower number than one that was in line before they came"},
		{"two in the section", func(o *observation) {
			o.sections[2].Acquired = o.sections[1].Released - 1
		}, "exclusion: process 1 got the lock 1ns before process 2 let go of it"},
		{"a token twice", func(o *observation) { o.sections[2].Token = 12 }, "fencing tokens: process 1 got 12 after 12"},
		{"a token of nothing", func(o *observation) { o.sections[0].Token = 0 }, "fencing tokens: "},
		{"one not served", func(o *observation) { o.sections = o.sections[:2] }, "served: process 1 was served 1 times instead of 2"},
		{"none after the kill", func(o *observation) { o.sections = o.sections[:2] }, "no process got the lock after the process that was killed"},
		{"none killed", func(o *observation) { o.sections[1].Killed = false }, "kill -9 of the holder: no process was killed"},
		{"leftover", func(o *observation) { o.left = []string{"/tmp/queue/seq"} }, "left behind: /tmp/queue/seq"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := goodRun()
			test.spoil(o)
			checks := check(o)
			err := verdict.Error(checks)
			if err == nil {
				t.Fatal("not noticed")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error does not say %q: %v", test.want, err)
			}
			var out bytes.Buffer
			report(&out, o, checks)
			if !strings.Contains(out.String(), "WRONG") {
				t.Errorf("the report does not say WRONG:\n%s", out.String())
			}
		})
	}
}

// TestHandOffs: a hand-off is from a process that lets go to one that was in line
// by then; neither a kill nor an empty line is one.
func TestHandOffs(t *testing.T) {
	o := goodRun()
	times := handOffs(o.sections)
	if len(times) != 1 || times[0] != time.Millisecond {
		t.Errorf("got %v, want the 1ms from section 1 to section 2", times)
	}
	o.sections[1].Registered = o.sections[0].Released + 1
	if times := handOffs(o.sections); len(times) != 0 {
		t.Errorf("got %v from an empty line, want none", times)
	}
}
