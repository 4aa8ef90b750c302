package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/examples/internal/cli"
	"github.com/fifolock/fifolock/examples/internal/programtest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/filequeue"
)

func TestMain(m *testing.M) { programtest.Main(m, main, redistest.Main) }

// process is the program at work.
type process struct {
	*programtest.Process
	metrics, vars string // addresses
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Process: programtest.Start(t, args...)}
	p.Stdout.Want(t, "/debug/vars\n")
	if _, err := fmt.Sscan(p.Stdout.String(), &p.metrics, &p.vars); err != nil {
		t.Fatal(err)
	}
	return p
}

func get(t *testing.T, address string) string {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, answer.Status, err)
	}
	return string(body)
}

var sample = regexp.MustCompile(`^(\w+)\{lock="[^"]+"(?:,(?:le|reason)="([^"]+)")?\} (\S+)$`)

// parseSamples returns the samples, by name, or by name and bucket or reason, and
// checks the form.
func parseSamples(t *testing.T, text string) map[string]float64 {
	t.Helper()
	samples := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "# HELP fifolock_") || strings.HasPrefix(line, "# TYPE fifolock_") {
			continue
		}
		parts := sample.FindStringSubmatch(line)
		if parts == nil {
			t.Fatalf("not a sample: %q", line)
		}
		value, err := strconv.ParseFloat(parts[3], 64)
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		samples[parts[1]+parts[2]] = value
	}
	return samples
}

// await scrapes until a sample has at least that value.
func (p *process) await(t *testing.T, name string, least float64) map[string]float64 {
	t.Helper()
	for {
		samples := parseSamples(t, get(t, p.metrics))
		if samples[name] >= least {
			return samples
		}
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// end interrupts the program, which is how it ends well, and returns what it has
// logged but for the calls that the interruption ends.
func (p *process) end(t *testing.T) (logged string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return "" // it is killed
	}
	if err := p.Process.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.WantExit(0, "")
	for line := range strings.Lines(p.Stderr.String()) {
		if !strings.Contains(line, "context canceled") {
			logged += line
		}
	}
	return logged
}

func TestFigures(t *testing.T) {
	for name, flags := range map[string][]string{"file": nil, "redis": {"-redis", redistest.Addr(t)}} {
		t.Run(name, func(t *testing.T) {
			p := start(t, flags...)
			samples := p.await(t, "fifolock_hold_seconds_count", 20)
			for _, name := range []string{
				"fifolock_lost_total", "fifolock_releases_failed_total", "fifolock_heartbeats_failed_total",
				"fifolock_failed_totalcancelled", "fifolock_failed_totalbusy", "fifolock_failed_totalevicted", "fifolock_failed_totalerror",
			} {
				if value, ok := samples[name]; !ok || value != 0 {
					t.Errorf("%s is %v, want 0", name, value)
				}
			}
			acquired := samples["fifolock_acquired_total"]
			if samples["fifolock_wait_seconds_count"] != acquired || samples["fifolock_wait_seconds_bucket+Inf"] != acquired {
				t.Errorf("%v acquired, but the histogram of waits has %v", acquired, samples["fifolock_wait_seconds_count"])
			}
			registered, held := samples["fifolock_registered_total"], samples["fifolock_hold_seconds_count"]
			if samples["fifolock_waiting"] != registered-acquired || samples["fifolock_holding"] != acquired-held {
				t.Errorf("%v registered, %v acquired, %v released, but %v waiting and %v holding",
					registered, acquired, held, samples["fifolock_waiting"], samples["fifolock_holding"])
			}
			if sum := samples["fifolock_hold_seconds_sum"]; sum < 20*0.010 {
				t.Errorf("held for %v s in all, want at least 20 times 10 ms", sum)
			}
			p.await(t, "fifolock_queue_length", 2)

			var vars struct{ Fifolock map[string]any }
			if err := json.Unmarshal([]byte(get(t, p.vars)), &vars); err != nil {
				t.Error(err)
			}
			if later, ok := vars.Fifolock["acquired"].(float64); !ok || later < acquired {
				t.Errorf("expvar says %v acquired, after %v", vars.Fifolock["acquired"], acquired)
			}
			if logged := p.end(t); logged != "" {
				t.Errorf("nothing went wrong, but it logs:\n%s", logged)
			}
		})
	}
}

// TestLost takes the lock away from its holder.
func TestLost(t *testing.T) {
	name := redistest.Name(t)
	client := redistest.Client(t)
	p := start(t, "-redis", redistest.Addr(t), "-name", name, "-lease", "1s", "-hold", "1h", "-workers", "1")
	p.await(t, "fifolock_holding", 1)
	if err := client.Del(t.Context(), redistest.Keys(t, client, name)...).Err(); err != nil {
		t.Fatal(err)
	}
	samples := p.await(t, "fifolock_lost_total", 1) // the hook has a goroutine of its own
	if samples["fifolock_holding"] != 0 || samples["fifolock_waiting"] != 0 {
		t.Errorf("%v holding and %v waiting, want none", samples["fifolock_holding"], samples["fifolock_waiting"])
	}
	if logged := p.end(t); runtime.GOOS != "windows" && !strings.Contains(logged, "lost the lock") {
		t.Errorf("the log does not say that the lock was lost:\n%s", logged)
	}
}

// TestBusy: callers that do not want to wait for so long are counted, and do not
// stay in the gauge.
func TestBusy(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "queue")
	mutex := lock.New(filequeue.New(directory))
	if err := mutex.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := start(t, "-file", directory, "-wait", "50ms")
	p.await(t, "fifolock_failed_totalbusy", 10)
	if err := mutex.Unlock(); err != nil {
		t.Error(err)
	}
	p.await(t, "fifolock_acquired_total", 1)
	if logged := p.end(t); runtime.GOOS != "windows" && !strings.Contains(logged, "did not get the lock") {
		t.Errorf("the log does not say that the lock was not to be had:\n%s", logged)
	}
}

// TestOutage: a server that is away is seen in the figures.
func TestOutage(t *testing.T) {
	server := redistest.StartServer(t)
	p := start(t, "-redis", server.Addr, "-lease", "1s", "-wait", "100ms")
	p.await(t, "fifolock_acquired_total", 1)
	server.Kill()
	p.await(t, "fifolock_failed_totalerror", 8) // each of them twice
	samples := parseSamples(t, get(t, p.metrics))
	if _, known := samples["fifolock_queue_length"]; known || samples["fifolock_holding"] != 0 {
		t.Errorf("while the server is away, the figures are %v", samples)
	}
	p.end(t)
}

// TestEvicted has one in line that is dead already.
func TestEvicted(t *testing.T) {
	name := redistest.Name(t)
	dead := redis.Z{Score: 1, Member: "1:nobody.1:1"}
	if err := redistest.Client(t).ZAdd(t.Context(), "{"+name+"}:queue", dead).Err(); err != nil {
		t.Fatal(err)
	}
	p := start(t, "-redis", redistest.Addr(t), "-name", name)
	p.await(t, "fifolock_evicted_total", 1)
	if logged := p.end(t); runtime.GOOS != "windows" && !strings.Contains(logged, "member=1:nobody.1:1") {
		t.Errorf("the log does not name the one that was evicted:\n%s", logged)
	}
}

// TestEndsByItself: in the end the gauges are back at 0, also that of the waiters
// that were cancelled.
func TestEndsByItself(t *testing.T) {
	p := start(t, "-for", "1s", "-v")
	p.WantExit(0, "")
	_, figures, _ := strings.Cut(p.Stdout.String(), p.vars+"\n")
	samples := parseSamples(t, figures)
	if samples["fifolock_acquired_total"] == 0 {
		t.Errorf("it ends without its figures:\n%s", figures)
	}
	// The end of the program is no lock that was busy.
	for _, name := range []string{"fifolock_waiting", "fifolock_holding", "fifolock_queue_length", "fifolock_failed_totalbusy"} {
		if value, ok := samples[name]; !ok || value != 0 {
			t.Errorf("in the end, %s is %v", name, value)
		}
	}
	if strings.Contains(p.Stderr.String(), "level=WARN") {
		t.Errorf("nothing went wrong, but it logs:\n%s", p.Stderr)
	}
	for _, want := range []string{"in line for the lock", "acquired the lock", "released the lock", "ticket=", "waited=", "held="} {
		if !strings.Contains(p.Stderr.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, p.Stderr)
		}
	}
}

func TestRefused(t *testing.T) {
	programtest.WantRefused(t, cli.ExitUsage,
		programtest.Refusal{Words: "from 1 to 10000", Args: []string{"-workers", "0"}},
		programtest.Refusal{Words: "above 0", Args: []string{"-hold", "0"}},
		programtest.Refusal{Words: "above 0", Args: []string{"-wait", "-1s"}},
		programtest.Refusal{Words: "-lease is for -redis", Args: []string{"-lease", "1s"}},
		programtest.Refusal{Words: "surplus", Args: []string{"surplus"}},
	)
	programtest.WantRefused(t, cli.ExitFailed,
		programtest.Refusal{Words: "listen", Args: []string{"-addr", "127.0.0.1:-1"}},
	)
	if runtime.GOOS == "windows" {
		return // other words
	}
	programtest.WantRefused(t, cli.ExitFailed,
		programtest.Refusal{Words: "connection refused", Args: []string{"-redis", "127.0.0.1:1", "-for", "5s"}},
	)
}

func TestHistogram(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{0, bounds[0], bounds[0] + 1, time.Second, time.Hour} {
		h.observe(d)
	}
	var out strings.Builder
	printer{&out, `lock="x"`}.histogram("h", "Help.", &h)
	for _, want := range []string{
		"# HELP h Help.\n# TYPE h histogram\n",
		`h_bucket{lock="x",le="0.0001"} 2` + "\n",
		`h_bucket{lock="x",le="0.001"} 3` + "\n",
		`h_bucket{lock="x",le="1"} 4` + "\n",
		`h_bucket{lock="x",le="30"} 4` + "\n",
		`h_bucket{lock="x",le="+Inf"} 5` + "\n",
		`h_count{lock="x"} 5` + "\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
	if math.Abs(h.sum.Seconds()-3601.0002) > 1e-6 {
		t.Errorf("the sum is %v", h.sum)
	}
}
