//go:build linux

package contention

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/redistest"
)

// Processes are killed, stopped and continued at random, whatever they are doing. Then it
// is quiet, and every waiter is served.
func TestX24Storm(t *testing.T) { x24Storm(t, time.Second) }

func TestX24StormTorture(t *testing.T) { x24Storm(t, harness.Torture(t)) }

func x24Storm(t *testing.T, duration time.Duration) {
	const lease = 500 * time.Millisecond
	withTimeout := faulttest.File(t)
	withTimeout.Stale = lease
	for name, c := range map[string]struct {
		spec    harness.Spec
		longest time.Duration
	}{
		"file":                      {faulttest.File(t), 300 * time.Millisecond},
		"file with a stale timeout": {withTimeout, 3 * lease},
		"redis":                     {faulttest.Redis(t, lease), 3 * lease},
	} {
		t.Run(name, func(t *testing.T) {
			h := harness.New(t, c.spec)
			h.Section = time.Millisecond
			harness.Storm{
				Workers: 8, Duration: duration,
				Kills: true, Stops: true, LongestStop: c.longest,
			}.Run(t, h)
		})
	}
}

// The network and the server fail, too.
func TestX24StormOfTheServer(t *testing.T) { x24StormOfTheServer(t, 2*time.Second) }

func TestX24StormOfTheServerTorture(t *testing.T) { x24StormOfTheServer(t, harness.Torture(t)) }

func x24StormOfTheServer(t *testing.T, duration time.Duration) {
	const lease = time.Second
	server := redistest.StartServer(t)
	proxy := redistest.NewProxy(t, server.Addr)
	h := harness.New(t, harness.Redis(server.Addr, "storm", lease))
	h.Spec.Addr = proxy.Addr
	h.Tolerant = true
	h.Section = time.Millisecond
	client := server.Client()
	heal := func() {}
	paused := false
	resume := func() {
		heal()
		heal = func() {}
		if paused {
			server.Resume()
			paused = false
		}
	}
	harness.Storm{
		Workers: 6, Duration: duration, Kills: true, Stops: true, LongestStop: 2 * lease,
		Heal: resume,
		Break: func(random *rand.Rand) {
			// What hangs is healed by the next thing that happens.
			hung := paused
			resume()
			if hung {
				return
			}
			switch random.IntN(8) {
			case 0:
				proxy.Cut()
			case 1:
				heal = proxy.BlackHole()
			case 2:
				server.Pause()
				paused = true
			case 3:
				proxy.LoseReplies("evalsha", 1+random.IntN(3))
			case 4:
				proxy.LoseRequests("evalsha", 1+random.IntN(3))
			case 5:
				client.ScriptFlush(t.Context())
			case 6:
				client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal")
				client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub")
			case 7:
				if random.IntN(10) == 0 {
					client.FlushAll(t.Context())
				}
			}
		},
	}.Run(t, h)
}
