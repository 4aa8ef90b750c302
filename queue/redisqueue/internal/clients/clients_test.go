package clients

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"
)

func TestRegistry(t *testing.T) {
	type value struct{ n int }
	var r Registry[value]
	made := 0
	of := func(client any) *value {
		return r.Of(client, func() *value { made++; return &value{made} })
	}
	one, two := new(int), new(int)
	first := of(one)
	if of(one) != first || of(two) == first {
		t.Error("not one value for each client")
	}
	if a, b := of([]int{1}), of([]int{1}); a == b {
		t.Error("clients that cannot be compared share a value")
	}
	for r.Len() > 1 { // two's, which nothing refers to
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	if of(one) != first {
		t.Error("a value that is used was forgotten")
	}
}

// cluster counts how often it is told to find its nodes anew.
type cluster int

func (c *cluster) ReloadState(context.Context) { *c++ }

// Answers that go-redis takes for a reason to find the nodes anew are left to it.
func TestReloadState(t *testing.T) {
	for text, reloads := range map[string]bool{
		"EOF":                                  true,
		"CLUSTERDOWN The cluster is down":      true,
		"CLUSTERDOWN Hash slot not served":     true,
		"LOADING Redis is loading the dataset": true,
		"MOVED 1 127.0.0.1:1":                  false,
		"NOSCRIPT No matching script":          false,
	} {
		var err error = replied(text)
		if text == "EOF" {
			err = io.EOF
		}
		c := new(cluster)
		if ReloadState(t.Context(), c, fmt.Errorf("register: %w", err)); (*c == 1) != reloads {
			t.Errorf("%s: reloaded %d times", text, *c)
		}
	}
}

// replied is an error that a server replied with.
type replied string

func (e replied) Error() string { return string(e) }
func (replied) RedisError()     {}
