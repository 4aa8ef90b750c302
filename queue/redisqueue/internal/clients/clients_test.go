package clients

import (
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
