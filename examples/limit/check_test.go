package main

import (
	"strings"
	"testing"
	"time"

	"github.com/fifolock/fifolock/examples/internal/verdict"
)

var start = time.Now()

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

// goodRun is a run with at most two calls at a time, in which process 2 is killed
// after 25 ms.
func goodRun() *observation {
	return &observation{
		settings: settings{procs: 3, workers: 1, max: 2},
		killedAt: at(25),
		allAgain: at(30),
		calls: []call{
			{Process: 1, Token: 11, began: at(0), ended: at(10)},
			{Process: 3, Token: 12, began: at(1), ended: at(20)},
			{Process: 2, Token: 13, began: at(12), ended: at(25), killed: true},
			{Process: 1, Token: 14, began: at(21), ended: at(40)},
			{Process: 3, Token: 15, began: at(30), ended: at(45)},
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
		{"one too many", func(o *observation) { o.calls[2].began = at(9) }, "limit: there were 3 calls at a time, and 2 may be"},
		{"one too few", func(o *observation) { o.settings.max = 3 }, "limit: there were 2 calls at a time, and 3 may be"},
		{"one went past", func(o *observation) { o.calls[2].Token = 16 }, "order: 1 were let in while"},
		{"a token twice", func(o *observation) { o.calls[4].Token = 14 }, "tokens: token 14"},
		{"no token", func(o *observation) { o.calls[0].Token = 0 }, "tokens: token 0"},
		{"one not served", func(o *observation) { o.settings.procs = 4 }, "served: process 4 was never served"},
		{"none killed", func(o *observation) { o.killedAt = time.Time{} }, "kill -9: no process was killed"},
		{"permits not given back", func(o *observation) { o.allAgain = time.Time{} }, "kill -9: process 2 killed with 1 permits, and"},
		{"leftover", func(o *observation) { o.left = []string{"/x/queue/seq"} }, "left behind: /x/queue/seq"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := goodRun()
			test.spoil(o)
			if err := verdict.Error(check(o)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestChart(t *testing.T) {
	o := &observation{killedAt: at(100), calls: []call{
		{began: at(0), ended: at(90)}, {began: at(10), ended: at(100)}, {began: at(110), ended: at(200)},
	}}
	if got := o.chart(); got != "22!11" {
		t.Errorf("the chart is %s", got)
	}
}
