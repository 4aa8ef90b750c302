//go:build linux

package server

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

const (
	shardsVariable = "FIFOLOCK_TEST_K12_SHARDS"
	wrapperServed  = "served, or refused with a reason"
)

// A Ring inside a wrapper, which hides what a Ring can. Lock works, or says that
// such a client does not; no goroutine of ours panics, which would end the process.
// So this one is a process of its own.
func TestK12WrappedRing(t *testing.T) {
	if shards := os.Getenv(shardsVariable); shards != "" {
		useWrappedRing(t, strings.Split(shards, ","))
		return
	}
	t.Parallel()
	_, shards, _ := startRing(t, faulttest.LongLease)
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), shardsVariable+"="+shards[0].Addr+","+shards[1].Addr)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), wrapperServed) {
		t.Errorf("a process with a wrapped Ring ended with %v, and should say %q", err, wrapperServed)
	}
}

func useWrappedRing(t *testing.T, shards []string) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"0": shards[0], "1": shards[1]}})
	defer ring.Close()
	mutex := func() *lock.Mutex { return lock.New(redisqueue.New(wrapper{ring}, "ring")) }
	a, b := mutex(), mutex()
	for range 3 {
		if err := a.Lock(t.Context()); err != nil {
			wantAdvice(t, err)
			fmt.Printf("%s: refused: %v\n", wrapperServed, err)
			return
		}
		waiting := faulttest.Lock(t.Context(), t, b)
		waiting.StaysBlocked("the first owns")
		faulttest.MustUnlock(t, a)
		waiting.Granted()
		faulttest.MustUnlock(t, b)
	}
	fmt.Println(wrapperServed)
}

// wantAdvice fails the test if an error does not say what to do.
func wantAdvice(t *testing.T, err error) {
	t.Helper()
	if !strings.Contains(err.Error(), "client") || !strings.Contains(err.Error(), "give") && !strings.Contains(err.Error(), "pass") {
		t.Errorf("%v: does not say which client to give", err)
	}
}
